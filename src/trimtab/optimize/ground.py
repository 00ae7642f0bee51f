"""The rows of a plan: some to refit on, some to choose on, some to certify on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from trimtab.errors import InvalidPlan
from trimtab.optimize.budget import Budget
from trimtab.types import Array, FloatArray, Ground, Rows, Task

LEAST_ROWS = 200
FIT_SHARE = 0.5
MOST_CHOOSING = 20_000


def make_ground(
    task: Task,
    held_out: Rows,
    budget: Budget,
    *,
    train: Rows | None = None,
    threshold: float = 0.5,
    seed: int = 0,
) -> tuple[Ground, tuple[str, ...]]:
    """Divide rows at random; classes keep their shares in each part.

    Args:
        task: What the model answers.
        held_out: Rows that the model was not fitted on. Without ``train``, half of them are for
            refitting; the rest is halved between choosing and certifying.
        budget: What the rows must be able to show.
        train: Rows to refit on.
        threshold: Of the decision.
        seed: Of the division.

    Returns:
        The ground, and what a reader of the certificate must know of it.

    Raises:
        InvalidPlan: too few rows, one class only, or no outcomes where a metric has a budget.
    """
    known, notes = _known(held_out)
    _check(task, known, budget)
    order = _order(task, known, seed)
    first = 0 if train is not None else int(len(order) * FIT_SHARE)
    middle = (first + len(order)) // 2
    parts = order[:first], order[first:middle][:MOST_CHOOSING], order[middle:]
    if len(parts[2]) < LEAST_ROWS // 4:
        raise _too_few(len(known))
    fit, choose, certify = (taken(known, np.sort(part)) for part in parts)
    if train is not None:
        fit, more = _known(train)
        notes = (*notes, *(f"{note} (for refitting)" for note in more))
    return Ground(
        task=task, fit=fit, choose=choose, certify=certify, threshold=threshold, seed=seed
    ), notes


def taken(rows: Rows, places: Array) -> Rows:
    """Some of the rows, with what is known of them."""
    return Rows(
        X=rows.X.iloc[places] if hasattr(rows.X, "iloc") else rows.X[places],
        outcomes=None if rows.outcomes is None else rows.outcomes[places],
        segments={name: labels[places] for name, labels in rows.segments.items()},
    )


def _known(rows: Rows) -> tuple[Rows, tuple[str, ...]]:
    """The rows whose outcome is known, and a word on the others."""
    if rows.outcomes is None:
        return rows, ()
    finite = np.isfinite(rows.outcomes.astype(np.float64))
    missing = int((~finite).sum())
    if not missing:
        return rows, ()
    if missing == len(finite):
        raise InvalidPlan(
            f"None of the {missing:,} outcomes is known.",
            code="no_outcomes",
            path="target",
            hint="Name another column, or leave the target out and limit max_abs.",
        )
    note = f"{missing:,} of {len(finite):,} rows have no outcome and are left out"
    return taken(rows, np.flatnonzero(finite)), (note,)


def _check(task: Task, rows: Rows, budget: Budget) -> None:
    if len(rows) < LEAST_ROWS:
        raise _too_few(len(rows))
    for limit in budget.metrics:
        _check_metric(task, rows, limit.name, limit.metric or "")


def _check_metric(task: Task, rows: Rows, name: str, metric: str) -> None:
    if rows.outcomes is None:
        raise InvalidPlan(
            f"The budget limits {name}, but no target says what became known.",
            code="target_missing",
            path=f"budget.{name}",
            hint="Name the column of outcomes with --target, or limit max_abs instead.",
        )
    if metric not in DEFINED[task]:
        raise InvalidPlan(
            f"{name} is not defined for a {task.value} model.",
            code="invalid_budget",
            path=f"budget.{name}",
            hint=f"Possible: {', '.join(sorted(DEFINED[task]))}.",
        )
    classes = np.unique(rows.outcomes)
    if task is not Task.REGRESSION and len(classes) < 2:
        raise InvalidPlan(
            f"All {len(rows):,} rows have the outcome {classes[0]:g}: {name} cannot be measured.",
            code="one_class_only",
            path=f"budget.{name}",
            hint="Give rows of every class, or limit max_abs instead.",
        )


DEFINED: Mapping[Task, frozenset[str]] = {
    Task.BINARY: frozenset({"roc_auc", "accuracy", "brier", "log_loss"}),
    Task.MULTICLASS: frozenset({"accuracy", "log_loss"}),
    Task.REGRESSION: frozenset({"rmse", "mae"}),
}
"""The metrics that each task has."""


def _order(task: Task, rows: Rows, seed: int) -> Array:
    """All places in an order of which every stretch has about the same share of each class.

    Rows are drawn at random; within a class, the i-th of m stands at about i / m of the whole.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(rows))
    if task is Task.REGRESSION or rows.outcomes is None:
        return order
    where: FloatArray = np.empty(len(order))
    labels = rows.outcomes[order]
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        where[own] = (np.arange(len(own)) + random.random()) / len(own)
    return order[np.argsort(where, kind="stable")]


def segments_of(columns: Mapping[str, Any], most: int = 12) -> dict[str, Array]:
    """The segment of each row by column: a category, or a quarter of a number's range by rank."""
    found = {}
    for name, values in columns.items():
        array = np.asarray(values)
        if array.dtype.kind in "fiu" and len(np.unique(array)) > most:
            numbers = array.astype(np.float64)
            edges = np.unique(np.nanquantile(numbers, [0.25, 0.5, 0.75]))
            names = _ranges(edges)
            found[name] = np.where(
                np.isnan(numbers), "missing", names[np.searchsorted(edges, numbers, side="left")]
            )
        else:
            found[name] = np.array(
                ["missing" if v is None else str(v) for v in array], dtype=object
            )
    return found


def _ranges(edges: FloatArray) -> Array:
    inner = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    return np.array([f"up to {edges[0]:.4g}", *inner, f"above {edges[-1]:.4g}"], dtype=object)


def _too_few(rows: int) -> InvalidPlan:
    return InvalidPlan(
        f"{rows:,} rows with outcomes are too few to choose and certify on.",
        code="too_few_rows",
        path="data",
        hint=f"Give at least {LEAST_ROWS} held-out rows, better thousands; refitting takes its half"
        " of them unless training rows are given.",
    )
