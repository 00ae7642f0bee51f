"""Held-out figures: what a version promises, and how far a window may stray from it by chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.performance.metrics import Estimate, classifier, proportion, regression
from trimtab.types import FloatArray, Signature, Task

_MIN_BLOCKS = 8
_MIN_BLOCK_ROWS = 30


def evaluate(
    scores: FloatArray,
    outcomes: FloatArray,
    signature: Signature,
    *,
    event_times: FloatArray | None = None,
    window_seconds: float = 86_400.0,
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

    Returns:
        ``rows``; for each metric its value and ``<metric>_se``; ``positive_ratio`` for binary.
        Empty without rows.
    """
    if not len(outcomes):
        return {}
    whole = _exact(scores, outcomes, signature)
    figures = {"rows": float(len(outcomes))}
    for name, estimate in whole.items():
        figures[name] = estimate.value
        figures[f"{name}_se"] = estimate.se
    if signature.task is Task.BINARY:
        figures["positive_ratio"] = float(np.mean(outcomes))
    if event_times is not None:
        blocks = np.floor(event_times / window_seconds)
        parts = [
            _exact(scores[blocks == block], outcomes[blocks == block], signature)
            for block in np.unique(blocks)
            if int((blocks == block).sum()) >= _MIN_BLOCK_ROWS
        ]
        figures |= _between(whole, parts)
    return figures


def _exact(scores: FloatArray, outcomes: FloatArray, signature: Signature) -> dict[str, Estimate]:
    """The metrics without bins: every distinct score is a bin of its own."""
    if signature.task is Task.REGRESSION:
        return regression(scores - outcomes, np.ones(len(outcomes)))
    if signature.task is Task.MULTICLASS:
        right = float((np.argmax(scores, axis=1) == outcomes).sum())
        return {"accuracy": proportion(right, float(len(outcomes)))}
    distinct, place = np.unique(scores, return_inverse=True)
    counts = np.zeros((len(distinct), 2))
    np.add.at(counts, (place, (outcomes > 0).astype(np.intp)), 1.0)
    return classifier(distinct, distinct >= signature.threshold, counts)


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
