"""Held-out figures: what a version promises, and how far a window may stray from it by chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.config import PerformanceConfig
from trimtab.performance.metrics import (
    ClassCounts,
    Estimate,
    classification,
    mean_absolute_percentage_error,
    ranking,
    regression,
)
from trimtab.types import Array, Columns, FloatArray, Record, Signature, Task

_MIN_BLOCKS = 8
_MIN_BLOCK_ROWS = 30


class HeldOut(Record, frozen=True):
    """Rows that a model was not trained on, with what it answered and what became known.

    ``scores`` as in ``evaluate``; ``outcomes`` are all finite; ``event_times`` in Unix seconds, where
    they are known; rows with equal ``requests`` were ranked together.
    """

    columns: Columns
    scores: FloatArray
    outcomes: FloatArray
    event_times: FloatArray | None = None
    window_seconds: float = 86_400.0
    requests: Array | None = None


def evaluate(
    scores: FloatArray,
    outcomes: FloatArray,
    signature: Signature,
    *,
    event_times: FloatArray | None = None,
    window_seconds: float = 86_400.0,
    config: PerformanceConfig = PerformanceConfig(),  # noqa: B008 - frozen
    requests: Array | None = None,
) -> dict[str, float]:
    """Held-out figures for a version's ``metrics``, with what a later comparison needs.

    Days differ from each other by more than chance. With ``event_times`` over enough windows, a
    metric's standard deviation between windows beyond chance is kept as ``<metric>_between``
    (method of moments), and a later window is compared knowing it.

    Args:
        scores: Shape ``(rows,)``: probability of the positive class, or the regression value;
            shape ``(rows, classes)`` of probabilities for several classes.
        outcomes: Shape ``(rows,)``: class index, or the value that became known; all finite.
        signature: The model's task and threshold.
        event_times: Shape ``(rows,)``, Unix seconds.
        window_seconds: How long the watched windows will be.
        config: Costs, quantile and places of a ranking, where the model has them.
        requests: Shape ``(rows,)``: which rows were ranked together. Without, rankings have no figures.

    Returns:
        ``rows``; for each metric its value and ``<metric>_se``; ``positive_ratio`` for binary.
        Empty without rows.
    """
    if not len(outcomes):
        return {}
    whole = exact(scores, outcomes, signature, config, requests)
    figures = {"rows": float(len(outcomes))}
    for name, estimate in whole.items():
        figures[name] = estimate.value
        figures[f"{name}_se"] = estimate.se
    if signature.task is Task.BINARY:
        figures["positive_ratio"] = float(np.mean(outcomes))
    if event_times is not None:
        parts = [
            exact(
                scores[part],
                outcomes[part],
                signature,
                config,
                None if requests is None else requests[part],
            )
            for part in blocks(np.floor(event_times / window_seconds))
        ]
        figures |= _between(whole, parts)
    return figures


def blocks(of: FloatArray) -> list[Array]:
    """The rows of each block that has enough of them, as indices."""
    _, place, sizes = np.unique(of, return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    parts = np.split(order, np.cumsum(sizes)[:-1])
    return [part for part in parts if len(part) >= _MIN_BLOCK_ROWS]


def exact(
    scores: FloatArray,
    outcomes: FloatArray,
    signature: Signature,
    config: PerformanceConfig = PerformanceConfig(),  # noqa: B008 - frozen
    requests: Array | None = None,
) -> dict[str, Estimate]:
    """The metrics without bins: every distinct score is a bin of its own."""
    found = _of_rows(scores, outcomes, signature, config)
    if config.ranking_k is None or requests is None:
        return found
    ordered = scores.max(axis=1) if scores.ndim == 2 else scores
    _, place = np.unique(requests, return_inverse=True)
    order = np.argsort(place, kind="stable")
    lists = np.split(order, np.flatnonzero(np.diff(place[order])) + 1)
    gains = np.maximum(outcomes, 0.0)
    return found | ranking([(ordered[rows], gains[rows]) for rows in lists], config.ranking_k)


def _of_rows(
    scores: FloatArray, outcomes: FloatArray, signature: Signature, config: PerformanceConfig
) -> dict[str, Estimate]:
    costs = np.array(config.costs, dtype=np.float64) if config.costs else None
    if signature.task is Task.REGRESSION:
        errors, ones = scores - outcomes, np.ones(len(outcomes))
        found = regression(errors, ones, quantile=config.quantile)
        there = outcomes != 0
        if there.any():
            relative = errors[there] / outcomes[there]
            found["mape"] = mean_absolute_percentage_error(relative, ones[there])
        return found
    if signature.task is Task.BINARY:
        distinct, place = np.unique(scores, return_inverse=True)
        counts = np.zeros((len(distinct), 2))
        np.add.at(counts, (place, (outcomes > 0).astype(np.intp)), 1.0)
        decided = (distinct >= signature.threshold).astype(np.intp)
        return classification([ClassCounts(distinct, decided, counts)], costs)
    decided = np.argmax(scores, axis=1)
    classes = []
    for index in range(len(signature.labels)):
        order = np.argsort(scores[:, index], kind="stable")
        hit = (outcomes[order] == index).astype(np.float64)
        counts = np.column_stack([1.0 - hit, hit])
        classes.append(ClassCounts(scores[order, index], decided[order], counts))
    return classification(classes, costs)


def _between(
    whole: Mapping[str, Estimate], parts: Sequence[Mapping[str, Estimate]]
) -> dict[str, float]:
    found = {}
    for name in whole:
        there = [part[name] for part in parts if name in part]
        if len(there) >= _MIN_BLOCKS:
            spread = float(np.var([estimate.value for estimate in there], ddof=1))
            chance = float(np.mean([estimate.se**2 for estimate in there]))
            found[f"{name}_between"] = math.sqrt(max(0.0, spread - chance))
    return found
