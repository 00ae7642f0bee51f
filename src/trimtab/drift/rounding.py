"""A reference's numbers kept in few bytes: its distribution function, rounded."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from trimtab.sketch import IntArray, Sketch

_UNITS = 400
_UNITS_OF_FEW = 256
_FEW_ROWS = 5_000
_FEW_VALUES = 64


def rounded(found: Sketch) -> Sketch:
    """The sketch with its distribution function rounded to multiples of 1/400, everywhere.

    So no distance between distribution functions changes by more than 1/800 (.00125). Under 5,000
    rows, which are noisier than that, the unit is 1/256 (.002). The lowest and the highest value keep
    a row. Exact are missing values, categories, and sketches of at most 256 rows or 64 values.
    Rounding twice is rounding once.
    """
    rows = int(found.counts.sum())
    if not found.bits or _exact(len(found.codes), rows):
        return found
    counts = _rows_of(_rises(found.counts, rows), rows)
    kept = np.flatnonzero(counts)
    return replace(found, codes=found.codes[kept], counts=counts[kept])


def steps_of(found: Sketch) -> IntArray:
    """By how many units the distribution function rises at each code of a rounded sketch."""
    rows = int(found.counts.sum())
    return found.counts if _exact(len(found.codes), rows) else _rises(found.counts, rows)


def counts_of(steps: IntArray, rows: int) -> IntArray:
    """The rows of each code from its units: what ``steps_of`` took apart."""
    return steps if _exact(len(steps), rows) else _rows_of(steps, rows)


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
