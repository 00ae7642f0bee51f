"""A metric's value with its standard error and interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtri

from trimtab.types import FloatArray

CONFIDENCE = 0.95
LEAST_SHARE = 1e-15


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value on ``rows`` rows, its standard error and its 95 % interval."""

    value: float
    se: float
    low: float
    high: float
    rows: float


def wilson(successes: float, trials: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval of a proportion; it never leaves [0, 1] and works at 0 and at ``trials``.

    Args:
        successes: At least 0, at most ``trials``.
        trials: At least 1.
        confidence: In (0, 1).

    Source: Wilson (1927), JASA 22; agrees with scipy.stats.binomtest in test_performance_metrics.

    >>> tuple(round(bound, 4) for bound in wilson(0, 10))
    (0.0, 0.2775)
    """
    z = float(ndtri((1.0 + confidence) / 2.0))
    share, denominator = successes / trials, 1.0 + z * z / trials
    middle = (share + z * z / (2.0 * trials)) / denominator
    half = z * math.sqrt(share * (1.0 - share) / trials + (z / (2.0 * trials)) ** 2) / denominator
    return max(0.0, middle - half), min(1.0, middle + half)


def proportion(successes: float, trials: float) -> Estimate:
    """A share; its standard error counts one more success and failure (Agresti & Caffo 2000)."""
    successes = min(successes, trials)  # sums of fractions may differ in their last digit
    smooth = (successes + 1.0) / (trials + 2.0)
    low, high = wilson(successes, trials)
    se = math.sqrt(smooth * (1.0 - smooth) / (trials + 2.0))
    return Estimate(successes / trials, se, low, high, trials)


def normal(
    value: float, se: float, rows: float, *, least: float = 0.0, most: float = math.inf
) -> Estimate:
    """A value with the interval of the normal distribution, cut at ``least`` and ``most``."""
    half = float(ndtri((1.0 + CONFIDENCE) / 2.0)) * se
    return Estimate(value, se, max(least, value - half), min(most, value + half), rows)


def within(value: float, se: float, rows: float) -> Estimate:
    """A value in [0, 1] with an interval that is symmetric in its log-odds."""
    if not 0.0 < value < 1.0:
        return normal(value, se, rows, most=1.0)
    odds = math.log(value / (1.0 - value))
    half = float(ndtri((1.0 + CONFIDENCE) / 2.0)) * se / (value * (1.0 - value))
    low, high = (
        1.0 / (1.0 + math.exp(-min(max(o, -700.0), 700.0))) for o in (odds - half, odds + half)
    )
    return Estimate(value, se, low, high, rows)


def mean(values: FloatArray, counts: FloatArray) -> tuple[float, float]:
    """The mean of counted values and its standard error."""
    rows = float(counts.sum())
    middle = float(counts @ values) / rows
    spread = float(counts @ (values - middle) ** 2) / max(rows - 1.0, 1.0)
    return middle, math.sqrt(spread / rows)


def jackknife(counts: FloatArray, gradient: FloatArray) -> float:
    """The standard error of a statistic of counted rows: the square root of sum c g^2.

    The infinitesimal jackknife: ``gradient`` is the derivative of the statistic by each count, for
    a statistic that does not change when all counts are doubled.

    Args:
        counts: Rows in each cell; may be fractions.
        gradient: Of the same shape.

    Source: Efron (1982), The Jackknife, the Bootstrap and Other Resampling Plans, chapter 6; agrees with
    the spread over repeated samples in test_performance_metrics.
    """
    return math.sqrt(float((counts * gradient**2).sum()))
