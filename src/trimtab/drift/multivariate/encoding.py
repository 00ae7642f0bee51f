"""Rows of mixed features as points of one space."""

from __future__ import annotations

from collections import Counter

import numpy as np

from trimtab.types import Array, Columns, FeatureKind, FloatArray

SAMPLE_ROWS = 2_000
_CATEGORIES = 8
_FAR = 4.0


class Encoder:
    """Numbers in interquartile ranges from the reference's median, categories as indicators.

    Numbers are cut at 4 ranges either way, so that one far value does not decide. A missing number is
    the median, and has an indicator where the reference has missing values. Categories beyond the
    eight most frequent are one.

    Args:
        reference: The reference's rows, or a sample of them.
    """

    def __init__(self, reference: Columns) -> None:
        self._features = reference.features
        self._numbers = {
            at: _scale(array)
            for at, array in enumerate(reference.arrays)
            if reference.features[at].kind is not FeatureKind.CATEGORICAL
        }
        self._categories = {
            at: _frequent(array)
            for at, array in enumerate(reference.arrays)
            if reference.features[at].kind is FeatureKind.CATEGORICAL
        }

    def encode(self, columns: Columns) -> FloatArray:
        """Points, shape ``(rows, dimensions)``."""
        parts: list[FloatArray] = []
        for at, array in enumerate(columns.arrays):
            if at in self._numbers:
                middle, scale = self._numbers[at]
                gone = np.isnan(array)
                with np.errstate(over="ignore", invalid="ignore"):
                    points = np.clip((array - middle) / scale, -_FAR, _FAR)
                parts += [np.where(gone, 0.0, points), gone.astype(np.float64)]
            else:
                parts += [(array == name).astype(np.float64) for name in self._categories[at]]
                known = {*self._categories[at]}
                parts.append(np.array([value not in known for value in array], dtype=np.float64))
        return np.stack(parts, axis=1) if parts else np.empty((columns.rows, 0))


def evenly(rows: int, most: int = SAMPLE_ROWS) -> Array:
    """At most so many row numbers, evenly spaced: the same ones every time.

    >>> evenly(10, 4)
    array([0, 3, 6, 9])
    """
    return np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64)


def _scale(array: FloatArray) -> tuple[float, float]:
    finite = array[np.isfinite(array)]
    if not len(finite):
        return 0.0, 1.0
    low, middle, high = np.quantile(finite, (0.25, 0.5, 0.75)).tolist()
    return middle, (high - low) or float(finite.std()) or 1.0


def _frequent(array: Array) -> tuple[str, ...]:
    counted = Counter(value for value in array.tolist() if value is not None)
    return tuple(sorted(counted, key=lambda name: (-counted[name], name))[:_CATEGORIES])
