"""One feature: fit, sketch, merge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from trimtab.sketch.categories import bounded, count_categories, fit_categories
from trimtab.sketch.numbers import count_numbers, fit_numbers, landmarks
from trimtab.sketch.records import Binning, Coded, Column, Counted, IntArray, Sketch
from trimtab.types import FeatureKind, FloatArray

_MERGED_AT_ONCE = 128


def fit(kind: FeatureKind, values: Column) -> Binning:
    """The binning of a reference column.

    Args:
        kind: What the column holds.
        values: Shape ``(rows,)``: float64 with NaN, or objects with None, for missing.
    """
    if kind is FeatureKind.CATEGORICAL or isinstance(values, Coded | Counted):
        return fit_categories(values)
    return fit_numbers(kind, values)


def sketch(binning: Binning, values: Column) -> Sketch:
    """Count a column's values into the binning's bins.

    Args:
        binning: From ``fit``.
        values: Shape ``(rows,)``, as in ``fit``.
    """
    if not binning.bits or isinstance(values, Coded | Counted):
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


def merge_all(parts: Sequence[Sketch]) -> Sketch:
    """As ``merge``, of any number of sketches of one feature, in one pass over their counts.

    Args:
        parts: At least one.
    """
    bits = parts[0].bits
    first = -landmarks(bits)[1] if bits else 0
    dense: FloatArray = np.zeros(1)
    for start in range(0, len(parts), _MERGED_AT_ONCE):
        some = parts[start : start + _MERGED_AT_ONCE]
        codes = np.concatenate([part.codes for part in some])
        codes -= first
        # Sums of whole numbers below 2**53 are exact in float64.
        counts = np.concatenate([part.counts for part in some], dtype=np.float64)
        counted = np.bincount(codes, counts, minlength=len(dense))
        added = np.asarray(counted, dtype=np.float64)
        added[: len(dense)] += dense
        dense = added
    found = np.flatnonzero(dense)
    fresh, overflow = ({}, 0) if bits else _unknown(parts)
    return Sketch(
        bits=bits,
        codes=found + first,
        counts=dense[found].astype(np.int64),
        missing=sum([part.missing for part in parts]),
        fresh=fresh,
        overflow=overflow,
    )


def _unknown(parts: Sequence[Sketch]) -> tuple[dict[str, int], int]:
    """Categories that are not known, and the rows of those that are not kept."""
    counted: Counter[str] = Counter()
    for part in parts:
        counted.update(part.fresh)
    kept, dropped = bounded(counted)
    return kept, sum(part.overflow for part in parts) + dropped


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
