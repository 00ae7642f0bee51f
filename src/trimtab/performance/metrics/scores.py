"""Metrics of scores: how well the probabilities of one class rank and how true they are."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import xlog1py, xlogy

from trimtab.performance.metrics.estimate import (
    LEAST_SHARE,
    Estimate,
    jackknife,
    mean,
    normal,
    within,
)
from trimtab.types import FloatArray

CALIBRATION_BINS = 15


def delong(negatives: FloatArray, positives: FloatArray) -> tuple[float, float]:
    """The area under the ROC curve and its standard error, from counts by rising score.

    A positive's placement is the share of negatives below it (ties half); the area is the mean
    placement; its variance is var(placements of positives) / m + var(placements of negatives) / n.

    Args:
        negatives: Shape ``(k,)``, rows with a negative outcome at each distinct score.
        positives: Shape ``(k,)``, rows with a positive outcome; both sums above 0.

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


def average_precision(negatives: FloatArray, positives: FloatArray) -> tuple[float, float]:
    """The area under the precision-recall curve as steps, and its standard error.

    The mean over positives of the precision among rows that score at least as high.

    Args:
        negatives: Shape ``(k,)``, counts by rising score.
        positives: Shape ``(k,)``; their sum is above 0.

    Source: equal to scikit-learn's average_precision_score; the standard error is the jackknife's.
    """
    m = float(positives.sum())
    true, false = np.cumsum(positives[::-1])[::-1], np.cumsum(negatives[::-1])[::-1]
    called = np.maximum(true + false, LEAST_SHARE)
    precision = true / called
    area = float(positives @ precision) / m
    by_true = np.cumsum(positives * false / called**2) / m
    by_false = -np.cumsum(positives * true / called**2) / m
    gradient = np.column_stack([by_false, (precision - area) / m + by_true])
    return area, jackknife(np.column_stack([negatives, positives]), gradient)


def calibration_error(scores: FloatArray, counts: FloatArray) -> Estimate:
    """The expected calibration error: mean over 15 equal bins of |share of positives - mean score|.

    Weighted by rows. A perfectly calibrated model has one above 0, of the order of 1 / sqrt(rows): it is
    shown and not judged.

    Source: Guo, Pleiss, Sun & Weinberger (2017), ICML, equation 3.
    """
    n = float(counts.sum())
    bins = np.minimum((scores * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    off = counts[:, 1] - counts.sum(axis=1) * scores
    sign = np.sign(np.bincount(bins, off, CALIBRATION_BINS))[bins]
    error = float(sign @ off) / n
    gradient = (np.column_stack([sign * -scores, sign * (1.0 - scores)]) - error) / n
    return normal(error, jackknife(counts, gradient), n, most=1.0)


def ranked(counts: FloatArray) -> dict[str, Estimate]:
    """ROC AUC and PR AUC of one class, where they are defined; ``counts`` by rising score."""
    n, there = float(counts.sum()), float(counts[:, 1].sum())
    found = {}
    if 0.0 < there < n:
        found["roc_auc"] = normal(*delong(counts[:, 0], counts[:, 1]), n, most=1.0)
        found["pr_auc"] = within(*average_precision(counts[:, 0], counts[:, 1]), n)
    return found


def proper(scores: FloatArray, counts: FloatArray) -> dict[str, Estimate]:
    """Brier score and log loss of the probability of one class."""
    n = float(counts.sum())
    flat = np.concatenate([counts[:, 0], counts[:, 1]])
    missed = np.concatenate([scores, 1.0 - scores])
    losses = -np.log(np.maximum(1.0 - missed, LEAST_SHARE))
    return {
        "brier": normal(*mean(missed**2, flat), n, most=1.0),
        "log_loss": normal(*mean(losses, flat), n),
    }


def entropy(share: FloatArray) -> FloatArray:
    """The log loss that a true probability expects of itself."""
    return np.asarray(-(xlogy(share, share) + xlog1py(1.0 - share, -share)), dtype=np.float64)
