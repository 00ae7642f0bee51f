"""Metrics of a regression's errors."""

from __future__ import annotations

import math

import numpy as np

from trimtab.performance.metrics.estimate import Estimate, mean, normal
from trimtab.types import FloatArray


def regression(
    errors: FloatArray, counts: FloatArray, *, quantile: float | None = None
) -> dict[str, Estimate]:
    """Mean absolute and root mean squared error; the latter's standard error by the delta method.

    Args:
        errors: Predicted less outcome.
        counts: Rows with each error.
        quantile: In (0, 1): which quantile the model predicts; adds the quantile loss, the mean of
            q (outcome - predicted) where the outcome is higher and (1 - q) (predicted - outcome) else.

    Source: Koenker & Bassett (1978), Econometrica 46, for the quantile loss.
    """
    n = float(counts.sum())
    square, square_se = mean(errors**2, counts)
    root = math.sqrt(square)
    found = {
        "mae": normal(*mean(np.abs(errors), counts), n),
        "rmse": normal(root, square_se / (2.0 * root) if root else 0.0, n),
    }
    if quantile is not None:
        loss = np.maximum(-quantile * errors, (1.0 - quantile) * errors)
        found["quantile_loss"] = normal(*mean(loss, counts), n)
    return found


def mean_absolute_percentage_error(relative: FloatArray, counts: FloatArray) -> Estimate:
    """The mean of |error / outcome| over the rows whose outcome is not 0, where it is defined.

    Args:
        relative: Error divided by outcome.
        counts: Rows with each; their sum is above 0.
    """
    return normal(*mean(np.abs(relative), counts), float(counts.sum()))
