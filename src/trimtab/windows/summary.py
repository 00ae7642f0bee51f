"""What a window of predictions is kept as."""

from __future__ import annotations

import numpy as np

from trimtab.sketch import IntArray, Sketcher, TableSketch, merge_tables
from trimtab.windows.batch import VersionRows, take


class WindowSketch(TableSketch, frozen=True, eq=False, kw_only=True):
    """A table's sketch, and for each feature the rows whose value was of another type than its own.

    Such a value counts as missing where a number is wanted.
    """

    odd: IntArray


def merge_windows(a: WindowSketch, b: WindowSketch) -> WindowSketch:
    """The sketch of both inputs' records together: exact, in any order and grouping."""
    table = merge_tables(a, b)
    return WindowSketch(
        rows=table.rows,
        features=table.features,
        score=table.score,
        pairs=table.pairs,
        distinct=table.distinct,
        odd=a.odd + b.odd,
    )


def summarise(sketcher: Sketcher, rows: VersionRows, places: IntArray) -> WindowSketch:
    """Sketch some of a version's rows."""
    read = [rows.column(at, binning) for at, binning in enumerate(sketcher.features)]
    taken = [take(one, places) for one in read]
    table = sketcher.sketch([column for column, _ in taken], rows.scores[places])
    return WindowSketch(
        rows=len(places),
        features=table.features,
        score=table.score,
        pairs=table.pairs,
        distinct=table.distinct,
        odd=np.array([odd for _, odd in taken], dtype=np.int64),
    )
