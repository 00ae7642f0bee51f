"""A reference's numbers kept in few bytes: its distribution function, rounded."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from trimtab.sketch import IntArray, Sketch

_UNITS = 400
_UNITS_OF_FEW = 256
_FEW_ROWS = 5_000
_FEW_VALUES = 256


def rounded(found: Sketch) -> Sketch:
    """The sketch with its distribution function rounded to multiples of 1/400, everywhere.

    So no distance between distribution functions changes by more than 1/800 (.00125). Under 5,000
    rows, which are noisier than that, the unit is 1/256 (.002). The lowest and the highest value keep
    a row. Exact are missing values, categories, and sketches of at most 256 rows or 256 values.
    Rounding twice is rounding once.
    """
    rows = int(found.counts.sum())
    if not found.bits or _exact(len(found.codes), rows):
        return found
    counts = _rows_of(_rises(found.counts, rows), rows)
    kept = np.flatnonzero(counts)
    return replace(found, codes=found.codes[kept], counts=counts[kept])


def steps_of(found: Sketch) -> IntArray:
    """By how many units the distribution function rises at each code; rows where it is not rounded."""
    rises = _rises(found.counts, max(int(found.counts.sum()), 1))
    return rises if _comes_of(rises, found) else found.counts


def counts_of(steps: IntArray, rows: int) -> IntArray:
    """The rows of each code from its units: what ``steps_of`` took apart."""
    return steps if int(steps.sum()) == rows else _rows_of(steps, rows)


def worth(found: Sketch, cells: int) -> float:
    """What a rounded sketch is worth in tests of so many equal cells, as a ratio of its rows.

    A share p of n rows has the variance p / n; rounding at both ends of its cell adds 1/6 of a unit
    squared, which the p-value of a large window would take for drift.
    """
    rows = int(found.counts.sum())
    if not found.bits or not rows or not _comes_of(_rises(found.counts, rows), found):
        return 1.0
    return 1 / (1 + rows * cells / (6 * _units(rows) ** 2))


def _comes_of(rises: IntArray, found: Sketch) -> bool:
    """Whether these units give the sketch's rows, and are not the rows themselves."""
    rows = int(found.counts.sum())
    return rows > _UNITS_OF_FEW and bool(np.array_equal(_rows_of(rises, rows), found.counts))


def _exact(codes: int, rows: int) -> bool:
    return rows <= _UNITS_OF_FEW or codes <= _FEW_VALUES


def _units(rows: int) -> int:
    return _UNITS if rows >= _FEW_ROWS else _UNITS_OF_FEW


def _rises(counts: IntArray, rows: int) -> IntArray:
    through = np.rint(np.cumsum(counts) * (_units(rows) / rows)).astype(np.int64)
    rises: IntArray = np.diff(through, prepend=0)
    return rises


def _rows_of(steps: IntArray, rows: int) -> IntArray:
    through = np.rint(np.cumsum(steps) * (rows / _units(rows))).astype(np.int64)
    through = np.append(np.clip(through[:-1], 1, rows - 1), rows)
    rises: IntArray = np.diff(through, prepend=0)
    return rises
