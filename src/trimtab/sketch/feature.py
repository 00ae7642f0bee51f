"""One feature: fit, sketch, merge."""

from __future__ import annotations

from collections import Counter

import numpy as np

from trimtab.sketch.categories import bounded, count_categories, fit_categories
from trimtab.sketch.numbers import count_numbers, fit_numbers
from trimtab.sketch.records import Binning, Coded, Column, IntArray, Sketch
from trimtab.types import FeatureKind


def fit(kind: FeatureKind, values: Column) -> Binning:
    """The binning of a reference column.

    Args:
        kind: What the column holds.
        values: Shape ``(rows,)``: float64 with NaN, or objects with None, for missing.
    """
    if kind is FeatureKind.CATEGORICAL or isinstance(values, Coded):
        return fit_categories(values)
    return fit_numbers(kind, values)


def sketch(binning: Binning, values: Column) -> Sketch:
    """Count a column's values into the binning's bins.

    Args:
        binning: From ``fit``.
        values: Shape ``(rows,)``, as in ``fit``.
    """
    if not binning.bits or isinstance(values, Coded):
        return count_categories(binning, values)
    return count_numbers(binning, values)


def merge(a: Sketch, b: Sketch) -> Sketch:
    """The sketch of both inputs' rows together: exact, in any order and grouping."""
    codes, counts = add_counts((a.codes, a.counts), (b.codes, b.counts))
    fresh = dict(Counter(a.fresh) + Counter(b.fresh))
    fresh, dropped = bounded(fresh)
    return Sketch(
        bits=a.bits,
        codes=codes,
        counts=counts,
        missing=a.missing + b.missing,
        fresh=fresh,
        overflow=a.overflow + b.overflow + dropped,
    )


def subtract(whole: Sketch, part: Sketch) -> Sketch:
    """The sketch of the rows in ``whole`` that are not in ``part``, which must be among them."""
    codes, counts = add_counts((whole.codes, whole.counts), (part.codes, -part.counts))
    fresh = {name: n - part.fresh.get(name, 0) for name, n in whole.fresh.items()}
    fresh = {name: n for name, n in fresh.items() if n > 0}
    rest = whole.unknown - part.unknown
    return Sketch(
        bits=whole.bits,
        codes=codes,
        counts=counts,
        missing=whole.missing - part.missing,
        fresh=fresh,
        overflow=rest - sum(fresh.values()),
    )


def add_counts(
    a: tuple[IntArray, IntArray], b: tuple[IntArray, IntArray]
) -> tuple[IntArray, IntArray]:
    """Sparse counts ``(codes, counts)`` added code by code; zeros are left out."""
    if not len(a[0]) or not len(b[0]):
        return a if len(a[0]) else b
    first = min(a[0][0], b[0][0])
    dense = np.zeros(max(a[0][-1], b[0][-1]) - first + 1, dtype=np.int64)
    dense[a[0] - first] = a[1]
    dense[b[0] - first] += b[1]
    found = np.flatnonzero(dense != 0)
    return found + first, dense[found]
