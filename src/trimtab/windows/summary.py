"""What a window of predictions is kept as."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import asdict, replace

from trimtab.sketch import IntArray, Sketcher, TableSketch, merge_many
from trimtab.windows.batch import VersionRows, take


class WindowSketch(TableSketch, frozen=True, eq=False, kw_only=True):
    """A table's sketch, and for each feature the rows whose value was of another type than its own.

    Such a value counts as missing where a number is wanted.
    """

    odd: IntArray


def told_of(table: TableSketch, odd: IntArray) -> WindowSketch:
    """A table's sketch, with what is known of its types."""
    return WindowSketch(**asdict(table), odd=odd)


def merge_windows(parts: Sequence[WindowSketch]) -> WindowSketch:
    """The sketch of all parts' records together: exact, in any order and grouping.

    Args:
        parts: At least one.
    """
    return told_of(merge_many(parts), np.sum([part.odd for part in parts], axis=0))


def summarise(sketcher: Sketcher, rows: VersionRows, places: IntArray) -> WindowSketch:
    """Sketch some of a version's rows; values that the journal was not given are not counted."""
    read = [rows.column(at, binning) for at, binning in enumerate(sketcher.features)]
    taken = [take(one, places) for one in read]
    table = sketcher.sketch([column for column, _ in taken], rows.scores[places])
    withheld = rows.withheld(places, len(read))
    if withheld.any():
        cells = replace(table.cells, missing=table.cells.missing - withheld)
        # Rows that differ in what is withheld alone would pass for repeated ones.
        table = replace(table, cells=cells, distinct=None)
    return told_of(
        replace(table, rows=len(places)),
        np.array([odd for _, odd in taken], dtype=np.int64),
    )
