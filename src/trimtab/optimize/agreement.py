"""How far two models agree on the same rows, over all and by segment."""

from __future__ import annotations

import numpy as np

from trimtab.optimize.budget import Budget
from trimtab.optimize.losses import decisions, metric_changes
from trimtab.types import FloatArray, MetricChange, Record, Rows, SegmentChange, Task

LEAST_ROWS = 200
LEAST_OF_A_CLASS = 20


class Agreement(Record, frozen=True):
    """Differences of outputs, changed decisions, and what each metric loses; as in a certificate."""

    rows: int
    max_abs: float
    mean_abs: float
    flips: int
    metrics: tuple[MetricChange, ...]
    segments: tuple[SegmentChange, ...] = ()

    def change(self, metric: str) -> MetricChange | None:
        """The change of one metric."""
        return next((each for each in self.metrics if each.metric == metric), None)


def agreement(
    task: Task,
    before: FloatArray,
    after: FloatArray,
    rows: Rows,
    *,
    threshold: float,
    budget: Budget,
) -> Agreement:
    """Compare two models' outputs for ``rows``.

    A segment is judged by the first limited metric, else the first of all, if it has at least 200
    rows and, for two classes, 20 of each: one of them may not lose more than ``budget.segment``.
    """
    apart = np.abs(before - after)
    flips = 0
    if task is not Task.REGRESSION:
        first, second = (decisions(task, each, threshold) for each in (before, after))
        flips = int((first != second).sum())
    changes: tuple[MetricChange, ...] = ()
    if rows.outcomes is not None:
        changes = metric_changes(task, before, after, rows.outcomes, threshold)
    return Agreement(
        rows=len(rows),
        max_abs=float(apart.max()),
        mean_abs=float(apart.mean()),
        flips=flips,
        metrics=changes,
        segments=_segments(task, before, after, rows, threshold, budget) if changes else (),
    )


def _segments(
    task: Task,
    before: FloatArray,
    after: FloatArray,
    rows: Rows,
    threshold: float,
    budget: Budget,
) -> tuple[SegmentChange, ...]:
    judged_by = budget.metrics[0].metric if budget.metrics else None
    found = []
    for column, labels in rows.segments.items():
        for value in sorted(set(labels.tolist())):
            inside = labels == value
            known = None if rows.outcomes is None else rows.outcomes[inside]
            changes: tuple[MetricChange, ...] = ()
            if known is not None and _enough(task, known):
                changes = metric_changes(task, before[inside], after[inside], known, threshold)
            named = [each for each in changes if judged_by in {None, each.metric}]
            change = named[0] if named else None
            allowed = budget.segment
            found.append(
                SegmentChange(
                    column=column,
                    value=str(value),
                    rows=int(inside.sum()),
                    change=change,
                    budget=allowed,
                    within=change is None or allowed is None or change.loss <= allowed,
                )
            )
    return tuple(found)


def _enough(task: Task, outcomes: FloatArray) -> bool:
    if len(outcomes) < LEAST_ROWS:
        return False
    positive = int((outcomes > 0).sum())
    return task is not Task.BINARY or min(positive, len(outcomes) - positive) >= LEAST_OF_A_CLASS
