"""Metrics with their standard errors and intervals, from counts of scores and outcomes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
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


def delong(negatives: FloatArray, positives: FloatArray) -> tuple[float, float]:
    """The area under the ROC curve and its standard error, from counts by rising score.

    A positive's placement is the share of negatives below it (ties half); the area is the mean
    placement; its variance is var(placements of positives) / m + var(placements of negatives) / n.

    Args:
        negatives: Shape ``(k,)``, rows with a negative outcome at each distinct score.
        positives: Shape ``(k,)``, rows with a positive outcome; both sums at least 1.

    Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44; agrees with scikit-learn's area
    and a direct count over pairs in test_performance_metrics.
    """
    n, m = float(negatives.sum()), float(positives.sum())
    placed_positives = (np.cumsum(negatives) - negatives / 2.0) / n
    placed_negatives = 1.0 - (np.cumsum(positives) - positives / 2.0) / m
    area = float(positives @ placed_positives) / m
    spread_positives = float(positives @ (placed_positives - area) ** 2) / max(m - 1.0, 1.0)
    spread_negatives = float(negatives @ (placed_negatives - area) ** 2) / max(n - 1.0, 1.0)
    return area, math.sqrt(spread_positives / m + spread_negatives / n)


def proportion(successes: float, trials: float) -> Estimate:
    """A share; its standard error counts one more success and failure (Agresti & Caffo 2000)."""
    smooth = (successes + 1.0) / (trials + 2.0)
    low, high = wilson(successes, trials)
    se = math.sqrt(smooth * (1.0 - smooth) / (trials + 2.0))
    return Estimate(successes / trials, se, low, high, trials)


def _normal(value: float, se: float, rows: float, most: float = math.inf) -> Estimate:
    half = float(ndtri((1.0 + CONFIDENCE) / 2.0)) * se
    return Estimate(value, se, max(0.0, value - half), min(most, value + half), rows)


def _mean(values: FloatArray, counts: FloatArray) -> tuple[float, float]:
    """The mean of counted values and its standard error."""
    rows = float(counts.sum())
    mean = float(counts @ values) / rows
    spread = float(counts @ (values - mean) ** 2) / max(rows - 1.0, 1.0)
    return mean, math.sqrt(spread / rows)


def classifier(
    scores: FloatArray, positive: npt.NDArray[np.bool_], counts: FloatArray
) -> dict[str, Estimate]:
    """Every metric of a binary classifier that is defined on these rows.

    Args:
        scores: Shape ``(k,)``, rising.
        positive: Shape ``(k,)``, the decision at each score.
        counts: Shape ``(k, 2)``, rows with a negative and a positive outcome.
    """
    n = float(counts.sum())
    right = float(counts[positive, 1].sum() + counts[~positive, 0].sum())
    found = {"accuracy": proportion(right, n)}
    caught, called, there = (
        float(counts[positive, 1].sum()),
        float(counts[positive].sum()),
        float(counts[:, 1].sum()),
    )
    if called:
        found["precision"] = proportion(caught, called)
    if there:
        found["recall"] = proportion(caught, there)
    if 0.0 < there < n:
        found["roc_auc"] = _normal(*delong(counts[:, 0], counts[:, 1]), n, most=1.0)
    flat = np.concatenate([counts[:, 0], counts[:, 1]])
    missed = np.concatenate([scores, 1.0 - scores])
    found["brier"] = _normal(*_mean(missed**2, flat), n, most=1.0)
    found["log_loss"] = _normal(*_mean(-np.log(np.maximum(1.0 - missed, LEAST_SHARE)), flat), n)
    return found


def regression(errors: FloatArray, counts: FloatArray) -> dict[str, Estimate]:
    """Mean absolute and root mean squared error; the latter's standard error by the delta method."""
    n = float(counts.sum())
    square, square_se = _mean(errors**2, counts)
    root = math.sqrt(square)
    return {
        "mae": _normal(*_mean(np.abs(errors), counts), n),
        "rmse": _normal(root, square_se / (2.0 * root) if root else 0.0, n),
    }
