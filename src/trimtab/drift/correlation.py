"""Rank correlations between pairs of numeric features, from the sums that sketches keep."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from trimtab.drift.noise import effective_size
from trimtab.sketch import IntArray
from trimtab.types import FloatArray

_BOUND = 0.999
_LEAST_ROWS = 50
_LEAST_VARIANCE = 0.05 * 256.0**2


def correlations(sums: IntArray) -> FloatArray:
    """The correlation of normal scores for each pair of features.

    Args:
        sums: Shape ``(4, p, p)``, as in :class:`trimtab.sketch.TableSketch`.

    Returns:
        Shape ``(p, p)``; NaN for pairs of under 50 rows, or where a feature hardly varies.
    """
    products, totals, squares, rows = sums.astype(np.float64)
    rows = np.where(rows < _LEAST_ROWS, np.nan, rows)
    mean = totals / rows
    variance = squares / rows - np.square(mean)
    variance = np.where(variance < _LEAST_VARIANCE, np.nan, variance)
    covariance = products / rows - mean * mean.T
    found: FloatArray = np.clip(covariance / np.sqrt(variance * variance.T), -1, 1)
    return found


class Correlated(NamedTuple):
    """Correlations by pair and the rows that they rest on; both of shape ``(p, p)``."""

    values: FloatArray
    rows: FloatArray


def correlated(sums: IntArray) -> Correlated:
    """The correlations of ``sums``, as :func:`correlations` gives them, with their rows."""
    return Correlated(correlations(sums), sums[3].astype(np.float64))


def pair_variances(scores: FloatArray, present: npt.NDArray[np.bool_]) -> FloatArray:
    """How much one row's worth of noise each correlation has: n times its variance.

    ``E[(u v - r (u² + v²) / 2)²]`` for standardised scores u and v, which is ``(1 - r²)²`` for a
    Gaussian pair and right for any other.

    Args:
        scores: Normal scores, 0 where missing, shape ``(p, rows)``.
        present: Where they are not missing.

    Returns:
        Shape ``(p, p)``.
    """
    rows = np.maximum(present.sum(1, keepdims=True), 1)
    mean = scores.sum(1, keepdims=True) / rows
    variance = np.square(scores).sum(1, keepdims=True) / rows - np.square(mean)
    u = np.where(present, (scores - mean) / np.sqrt(np.maximum(variance, 1e-12)), 0.0)
    mask = present.astype(np.float64)
    both = np.maximum(mask @ mask.T, 1)
    square = np.square(u)
    r = np.clip(u @ u.T / both, -1, 1)
    cubic = (square * u) @ u.T
    quartic = np.square(square) @ mask.T
    mixed = square @ square.T
    total = mixed - r * (cubic + cubic.T) + np.square(r) / 4 * (quartic + quartic.T + 2 * mixed)
    noise: FloatArray = np.maximum(total / both, 1e-6)
    return noise


class PairChange(NamedTuple):
    """The pair of features, by position, whose correlation has changed most surely.

    ``score`` is half the change, in [0, 1]; ``size`` the effective size of the pair's rows; ``pairs``
    how many were compared.
    """

    pair: tuple[int, int]
    before: float
    now: float
    score: float
    size: float
    pairs: int
    p_value: float


def largest_change(
    reference: Correlated, current: Correlated, variances: FloatArray
) -> PairChange | None:
    """The pair whose correlation has changed most surely; None if there is none to compare.

    Compared on Fisher's scale, ``z = Δ atanh(r) (1 - r²) / √(v (1/n + 1/m))`` with n and m three
    less than the rows; the p-value is the normal one, times the number of pairs (Bonferroni).

    Args:
        reference: Of the reference.
        current: Of the window.
        variances: From ``pair_variances``.
    """
    before, now = reference.values, current.values
    upper = np.triu(np.isfinite(before) & np.isfinite(now), 1)
    if not upper.any():
        return None
    n, m = np.maximum(reference.rows - 3, 1), np.maximum(current.rows - 3, 1)
    r, q = np.clip(before, -_BOUND, _BOUND), np.clip(now, -_BOUND, _BOUND)
    change = np.abs(np.arctanh(q) - np.arctanh(r)) * (1 - np.square(r))
    certainty = np.where(upper, change / np.sqrt(variances * (1 / n + 1 / m)), -1.0)
    i, j = divmod(int(certainty.argmax()), len(certainty))
    pairs = int(upper.sum())
    return PairChange(
        pair=(i, j),
        before=float(before[i, j]),
        now=float(now[i, j]),
        score=abs(float(now[i, j] - before[i, j])) / 2,
        size=effective_size(float(n[i, j]), float(m[i, j])),
        pairs=pairs,
        p_value=min(1.0, 2 * float(ndtr(-certainty[i, j])) * pairs),
    )
