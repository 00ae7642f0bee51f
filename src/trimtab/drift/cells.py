"""Two sketches of one feature as counts of the same cells."""

from __future__ import annotations

import numpy as np

from trimtab.drift.noise import LEAST_EXPECTED
from trimtab.sketch import IntArray, Sketch
from trimtab.types import FloatArray

_EXACT_CELLS = 32
_MOST_CELLS = 20
_ROWS_PER_CELL = 10


def aligned(reference: Sketch, current: Sketch) -> tuple[IntArray, IntArray, IntArray]:
    """The known values of both, ascending, with the rows of each in either: codes, counts, counts.

    Categories that are not known are left out.
    """
    codes = np.concatenate((reference.codes, current.codes))
    first = codes.min(initial=0)
    dense = np.zeros((2, codes.max(initial=0) - first + 1), dtype=np.int64)
    dense[0, reference.codes - first] = reference.counts
    dense[1, current.codes - first] = current.counts
    found = np.flatnonzero((dense != 0).any(axis=0))
    return found + first, dense[0, found], dense[1, found]


def cells(reference: Sketch, current: Sketch) -> tuple[IntArray, IntArray]:
    """Counts by cell, missing values left out.

    Categories are cells, new ones too, or all rare ones together if there are very many. Numeric values are cells as they are if both sketches hold
    at most 32 of them; else the cells are about equally full in the reference, at most 20.
    """
    _, a, b = aligned(reference, current)
    if not reference.bits:
        return _with_fresh(a, b, reference, current)
    if len(a) <= _EXACT_CELLS or not a.any():
        return a, b
    most = min(int(a.sum()), int(b.sum())) // _ROWS_PER_CELL
    count = min(max(most, 2), _MOST_CELLS)
    rank = (np.cumsum(a) - a / 2) / a.sum()
    cell = np.minimum((rank * count).astype(np.int64), count - 1)
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    return np.add.reduceat(a, starts), np.add.reduceat(b, starts)


def shares(reference: Sketch, current: Sketch) -> tuple[FloatArray, FloatArray]:
    """As ``cells``, each row of counts divided by its sum."""
    a, b = cells(reference, current)
    return a / max(a.sum(), 1), b / max(b.sum(), 1)


def _with_fresh(
    a: IntArray, b: IntArray, reference: Sketch, current: Sketch
) -> tuple[IntArray, IntArray]:
    if reference.overflow or current.overflow:
        return _without_rare(a, b, reference.unknown, current.unknown)
    names = sorted({*reference.fresh, *current.fresh})
    extra = [[found.fresh.get(name, 0) for name in names] for found in (reference, current)]
    return np.append(a, extra[0]).astype(np.int64), np.append(b, extra[1]).astype(np.int64)


def _without_rare(
    a: IntArray, b: IntArray, unknown_a: int, unknown_b: int
) -> tuple[IntArray, IntArray]:
    """With more categories than are kept, the rare ones and the unknown are one cell.

    Which are rare depends on both sides alike. Apart, the known would seem to lose rows to the
    unknown: they are known because they were frequent in this very reference.
    """
    rows = a.sum() + unknown_a, b.sum() + unknown_b
    common = (a + b) * min(rows) / max(sum(rows), 1) >= LEAST_EXPECTED
    return (
        np.append(a[common], rows[0] - a[common].sum()),
        np.append(b[common], rows[1] - b[common].sum()),
    )
