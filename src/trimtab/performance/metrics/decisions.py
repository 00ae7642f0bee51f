"""Metrics of decisions, from the table of outcomes against decisions."""

from __future__ import annotations

import math

import numpy as np

from trimtab.performance.metrics.estimate import (
    Estimate,
    jackknife,
    normal,
    proportion,
    wilson,
    within,
)
from trimtab.types import FloatArray


def two_classes(confusion: FloatArray) -> dict[str, Estimate]:
    """Accuracy, and precision, recall and F1 of the positive class where they are defined.

    The F1 score is 2 J / (1 + J) with J the share of true positives among the rows that are called
    positive or are; so its interval is that of a share.

    Args:
        confusion: Shape ``(2, 2)``: rows by outcome, then decision.
    """
    n, caught = float(confusion.sum()), float(confusion[1, 1])
    called, there = float(confusion[:, 1].sum()), float(confusion[1].sum())
    found = {"accuracy": proportion(float(np.trace(confusion)), n)}
    if called:
        found["precision"] = proportion(caught, called)
    if there:
        found["recall"] = proportion(caught, there)
    union = called + there - caught
    if union:
        shared = proportion(caught, union)
        low, high = (2.0 * j / (1.0 + j) for j in wilson(shared.value * union, union))
        se = 2.0 * shared.se / (1.0 + shared.value) ** 2
        found["f1"] = Estimate(2.0 * shared.value / (1.0 + shared.value), se, low, high, union)
    return found


def several_classes(confusion: FloatArray) -> dict[str, Estimate]:
    """Accuracy, and precision, recall and F1 averaged over the classes that occurred or were called.

    A class that was never called has a precision of 0, one that never occurred a recall of 0, as in
    scikit-learn with ``average="macro", zero_division=0``. Standard errors are the jackknife's.

    Args:
        confusion: Shape ``(k, k)``: rows by outcome, then decision.
    """
    n = float(confusion.sum())
    right, there, called = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    seen = (there + called) > 0
    found = {"accuracy": proportion(float(right.sum()), n)}
    own = np.eye(len(confusion))
    rows, columns = np.ones_like(confusion) * seen[:, None], np.ones_like(confusion) * seen
    totals = {
        "precision": (called, 0.0 * rows, columns),
        "recall": (there, rows, 0.0 * columns),
        "f1": ((there + called) / 2.0, rows / 2.0, columns / 2.0),
    }
    for name, (total, by_row, by_column) in totals.items():
        safe = np.where(total > 0, total, 1.0)
        value = right / safe
        # d(right_k / total_k) / dC_ij: own cell adds to right, row k or column k adds to total.
        gradient = (
            own / safe - by_row * (value / safe)[:, None] - by_column * (value / safe)
        ) * 1.0
        gradient /= seen.sum()
        found[name] = within(float(value[seen].mean()), jackknife(confusion, gradient), n)
    return found


def expected_cost(confusion: FloatArray, costs: FloatArray) -> Estimate:
    """The mean cost of a decision.

    Args:
        confusion: Shape ``(k, k)``: rows by outcome, then decision.
        costs: Of the same shape: what each costs; gains are negative.

    Source: Elkan (2001), The Foundations of Cost-Sensitive Learning, IJCAI.
    """
    n = float(confusion.sum())
    value = float((confusion * costs).sum()) / n
    gradient = (costs - value) / n
    return normal(value, jackknife(confusion, gradient), n, least=-math.inf)
