"""What a metric loses between two models on the same rows, with the interval of the loss."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from scipy.stats import rankdata

from trimtab.errors import InvalidPlan
from trimtab.types import Array, FloatArray, MetricChange, Task

CONFIDENCE = 0.95
_LEAST_SHARE = 1e-15
_Z = float(ndtri((1.0 + CONFIDENCE) / 2.0))


def metric_changes(
    task: Task, before: FloatArray, after: FloatArray, outcomes: Array, threshold: float = 0.5
) -> tuple[MetricChange, ...]:
    """Every metric that is defined on these rows, the most telling one first.

    Args:
        task: What both models answer.
        before: Outputs of the original, shape ``(rows, k)``.
        after: Outputs of the other, same shape.
        outcomes: Shape ``(rows,)``: places of classes, or values (``(rows, k)`` for several).
        threshold: Score from which on a binary decision is positive.

    >>> import numpy as np
    >>> before = np.array([[1.0], [0.0], [2.0]])
    >>> changes = metric_changes(Task.REGRESSION, before, before + 0.5, np.array([1, 0, 2]))
    >>> [(change.metric, round(change.loss, 3)) for change in changes]
    [('rmse', 0.5), ('mae', 0.5)]
    """
    if task is Task.REGRESSION:
        return _regression(before, after, outcomes)
    hit = outcomes.astype(np.intp)
    rows = np.arange(len(hit))
    shared = (_accuracy(decisions(task, before, threshold) == hit,
                        decisions(task, after, threshold) == hit),
              _means("log_loss", *(-np.log(np.maximum(each[rows, hit], _LEAST_SHARE))
                                   for each in (before, after))))  # fmt: skip
    if task is Task.MULTICLASS:
        return shared
    brier = _means("brier", *((each[:, 1] - hit) ** 2 for each in (before, after)))
    if 0 < int(hit.sum()) < len(hit):
        return (auc_change(before[:, 1], after[:, 1], hit > 0), *shared, brier)
    return (*shared, brier)


def decisions(task: Task, outputs: FloatArray, threshold: float) -> Array:
    """What a model decides: the place of a class; of a regression, the value itself."""
    if task is Task.BINARY:
        return (outputs[:, 1] >= threshold).astype(np.intp)
    if task is Task.MULTICLASS:
        return np.asarray(outputs.argmax(axis=1))
    return outputs[:, 0]


def auc_change(
    before: FloatArray, after: FloatArray, positive: npt.NDArray[np.bool_]
) -> MetricChange:
    """What the area under the ROC curve loses, both scores seen on the same rows.

    With V a row's placement among the rows of the other class, the loss is mean V(before) − mean
    V(after), and its variance var(D positives) / m + var(D negatives) / n of the differences D.

    Source: DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44; agrees with a bootstrap and with
    the direct count over pairs in test_losses.
    """
    if not 0 < int(positive.sum()) < len(positive):
        raise InvalidPlan(
            "The rows to measure on have one class only: there is no area under a ROC curve.",
            code="one_class_only",
            path="budget.auc",
            hint="Give data with rows of both classes, or limit another metric.",
        )
    (area, up, down), (other, up2, down2) = (_placements(s, positive) for s in (before, after))
    spread = _variance(up - up2) / len(up) + _variance(down - down2) / len(down)
    return _change("roc_auc", area, other, area - other, spread, "paired DeLong")


def _placements(
    scores: FloatArray, positive: npt.NDArray[np.bool_]
) -> tuple[float, FloatArray, FloatArray]:
    """The area, and each positive's and each negative's placement, ties counting half."""
    ranks = rankdata(scores)
    m, n = int(positive.sum()), int((~positive).sum())
    up = (ranks[positive] - rankdata(scores[positive])) / n
    down = 1.0 - (ranks[~positive] - rankdata(scores[~positive])) / m
    return float(up.mean()), up, down


def _accuracy(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_]) -> MetricChange:
    """The loss as a difference of paired proportions (Agresti & Min 2005, half a row in each cell)."""
    worse, better = int((before & ~after).sum()), int((~before & after).sum())
    n = len(before) + 2.0
    discordant = worse + better + 1.0
    spread = (discordant / n - ((worse - better) / n) ** 2) / n if worse + better else 0.0
    loss = (worse - better) / len(before)
    return _change("accuracy", before.mean(), after.mean(), loss, spread, "paired proportions")


def _means(metric: str, before: FloatArray, after: FloatArray) -> MetricChange:
    """A metric that is a mean over rows, where less is better."""
    spread = _variance(after - before) / len(before)
    loss = float(np.mean(after - before))
    return _change(metric, before.mean(), after.mean(), loss, spread, "paired differences")


def _regression(before: FloatArray, after: FloatArray, outcomes: Array) -> tuple[MetricChange, ...]:
    known = outcomes.reshape(len(outcomes), -1).astype(np.float64)
    first, second = ((each - known) for each in (before, after))
    squares = [(each**2).mean(axis=1) for each in (first, second)]
    roots = [math.sqrt(float(each.mean())) for each in squares]
    slopes = [
        each / (2.0 * root) if root else each for each, root in zip(squares, roots, strict=True)
    ]
    spread = _variance(slopes[1] - slopes[0]) / len(known)
    rmse = _change("rmse", roots[0], roots[1], roots[1] - roots[0], spread,
                   "paired differences, delta method")  # fmt: skip
    return rmse, _means("mae", *(np.abs(each).mean(axis=1) for each in (first, second)))


def _variance(values: FloatArray) -> float:
    return float(np.var(values, ddof=1)) if len(values) > 1 else 0.0


def _change(
    metric: str, before: float, after: float, loss: float, spread: float, method: str
) -> MetricChange:
    half = _Z * math.sqrt(max(spread, 0.0))
    return MetricChange(
        metric=metric,
        before=float(before),
        after=float(after),
        loss=float(loss),
        low=float(loss) - half,
        high=float(loss) + half,
        method=method,
    )
