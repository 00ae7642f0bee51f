"""Distillation: a small gradient-boosted student learns what the model answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from trimtab.optimize.forms import NativeForm
from trimtab.optimize.pipelines import classes, joined, matrix, prepared, split
from trimtab.protocols import ModelForm
from trimtab.types import FloatArray, Ground, Rows, Task

STUDENTS = ((300, 31), (100, 31), (100, 15), (30, 15))
"""Trees and leaves a tree of the students, the largest first."""

LEAST_ROWS = 200
_LEAST_WEIGHT = 1e-3


class Distil:
    """Students of falling size, fitted to the model's own probabilities or values.

    A student sees each row once for every class, weighted by the model's probability of it: its log
    loss is then the cross-entropy with the model's answer. Where outcomes are known, half of the
    weight goes to them, so that a student can also be better than its teacher. Of recorded traffic it
    learns the answers alone.

    Source: Hinton, Vinyals & Dean (2015), Distilling the knowledge in a neural network.
    """

    name = "distil"
    lossless = False

    def offers(self, form: ModelForm, ground: Ground) -> Iterator[tuple[str, ModelForm]]:
        """One student for each size."""
        asked = _asked(ground)
        if not isinstance(form, NativeForm) or len(asked) < LEAST_ROWS:
            return
        head, tail = split(form.model)
        answers = form.outputs(asked)
        if ground.task is Task.REGRESSION and answers.shape[1] > 1:
            return
        Z = prepared(head, asked)
        try:
            Z = matrix(Z)
        except ValueError:
            return
        taken = asked if head is None else Z
        for trees, leaves in STUDENTS:
            made = student(taken, answers, ground, classes(tail), trees, leaves)
            if made is not None:
                yield f"student of {trees} trees × {leaves} leaves", NativeForm(joined(head, made))


def student(
    Z: Any, answers: FloatArray, ground: Ground, labels: Any, trees: int, leaves: int
) -> Any:
    """A fitted student, or None where the model never answers more than one class."""
    settings = {
        "max_iter": trees,
        "max_leaf_nodes": leaves,
        "early_stopping": False,
        "random_state": ground.seed,
    }
    if ground.task is Task.REGRESSION:
        return HistGradientBoostingRegressor(**settings).fit(Z, answers[:, 0])
    soft = _softened(answers, ground.fit)
    kept = soft > _LEAST_WEIGHT
    row, place = np.nonzero(kept)
    if len(np.unique(place)) < answers.shape[1]:
        return None
    names = np.arange(answers.shape[1]) if labels is None else labels
    learner = HistGradientBoostingClassifier(**settings)
    many = Z.iloc[row] if hasattr(Z, "iloc") else Z[row]
    return learner.fit(many, names[place], sample_weight=soft[kept])


def _softened(answers: FloatArray, rows: Rows) -> FloatArray:
    """The model's answers, or half of them and half of what became known."""
    if rows.outcomes is None:
        return answers
    known = np.eye(answers.shape[1])[rows.outcomes.astype(np.intp)]
    soft = answers.copy()
    soft[: len(rows)] = (answers[: len(rows)] + known) / 2.0
    return soft


def _asked(ground: Ground) -> Any:
    """The rows for fitting, and after them those of recorded traffic."""
    if ground.traffic is None:
        return ground.fit.X
    both = [ground.fit.X, ground.traffic.X]
    if not hasattr(ground.fit.X, "iloc"):
        return np.concatenate(both)
    import pandas as pd

    return pd.concat(both, ignore_index=True)
