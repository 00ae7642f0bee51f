"""Metrics with their standard errors and intervals, one file a family, from counts.

The same functions take whole counts of what was measured and fractional ones of what is expected, so
that an estimate of a metric is the metric itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.performance.metrics.decisions import expected_cost, several_classes, two_classes
from trimtab.performance.metrics.errors import mean_absolute_percentage_error, regression
from trimtab.performance.metrics.estimate import (
    CONFIDENCE,
    LEAST_SHARE,
    Estimate,
    jackknife,
    mean,
    normal,
    proportion,
    wilson,
    within,
)
from trimtab.performance.metrics.ranking import first_rank, ndcg, ranking
from trimtab.performance.metrics.scores import (
    average_precision,
    calibration_error,
    delong,
    proper,
    ranked,
)
from trimtab.types import Array, FloatArray

__all__ = [
    "CONFIDENCE",
    "LEAST_SHARE",
    "ClassCounts",
    "Estimate",
    "average_precision",
    "calibration_error",
    "classification",
    "confusion_of",
    "delong",
    "expected_cost",
    "first_rank",
    "jackknife",
    "mean",
    "mean_absolute_percentage_error",
    "ndcg",
    "normal",
    "proportion",
    "ranking",
    "regression",
    "several_classes",
    "two_classes",
    "wilson",
    "within",
]


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Rows by the score of one class, the decision, and whether the outcome was that class.

    ``scores`` rise, shape ``(k,)``; ``decisions`` are class indices, shape ``(k,)``; ``counts`` has shape
    ``(k, 2)``: outcome another class, outcome this class. A binary model has one, of its positive class.
    """

    scores: FloatArray
    decisions: Array
    counts: FloatArray


def confusion_of(classes: Sequence[ClassCounts]) -> FloatArray:
    """Rows by outcome, then decision; shape ``(k, k)``, two classes where one is given."""
    size = max(len(classes), 2)
    rows = [np.bincount(one.decisions, one.counts[:, 1], size) for one in classes]
    if len(rows) == 1:
        rows.insert(0, np.bincount(classes[0].decisions, classes[0].counts[:, 0], size))
    return np.array(rows, dtype=np.float64)


def classification(
    classes: Sequence[ClassCounts], costs: FloatArray | None = None
) -> dict[str, Estimate]:
    """Every metric of a classifier that is defined on these rows.

    With one table of counts they are those of the positive class. With several, the areas are means
    over classes against the rest, the Brier score and the log loss are sums over classes, and standard
    errors are those of classes that move together, which is the most they can be.

    Args:
        classes: One a class; one alone for a binary model.
        costs: Shape ``(k, k)``, by outcome, then decision.
    """
    confusion = confusion_of(classes)
    if len(classes) == 1:
        (one,) = classes
        found = two_classes(confusion) | ranked(one.counts) | proper(one.scores, one.counts)
        found["calibration_error"] = calibration_error(one.scores, one.counts)
    else:
        found = several_classes(confusion) | _over_classes(classes)
    if costs is not None:
        found["expected_cost"] = expected_cost(confusion, costs)
    return found


def _over_classes(classes: Sequence[ClassCounts]) -> dict[str, Estimate]:
    n = float(classes[0].counts.sum())
    areas = [ranked(_by_score(one)) for one in classes]
    found = {}
    for name in ("roc_auc", "pr_auc"):
        parts = [area[name] for area in areas if name in area]
        if parts:
            value = float(np.mean([part.value for part in parts]))
            found[name] = within(value, float(np.mean([part.se for part in parts])), n)
    squares = [
        mean(
            np.concatenate([one.scores, 1.0 - one.scores]) ** 2,
            np.concatenate([one.counts[:, 0], one.counts[:, 1]]),
        )
        for one in classes
    ]
    found["brier"] = normal(sum(v for v, _ in squares), sum(se for _, se in squares), n, most=2.0)
    losses = -np.log(np.maximum(np.concatenate([one.scores for one in classes]), LEAST_SHARE))
    found["log_loss"] = normal(*mean(losses, np.concatenate([c.counts[:, 1] for c in classes])), n)
    chosen = [one.decisions == place for place, one in enumerate(classes)]
    found["calibration_error"] = calibration_error(
        np.concatenate([one.scores[own] for one, own in zip(classes, chosen, strict=True)]),
        np.concatenate([one.counts[own] for one, own in zip(classes, chosen, strict=True)]),
    )
    return found


def _by_score(one: ClassCounts) -> FloatArray:
    """Counts by rising score, whatever was decided."""
    distinct, place = np.unique(one.scores, return_inverse=True)
    counts = np.zeros((len(distinct), 2))
    np.add.at(counts, place, one.counts)
    return counts
