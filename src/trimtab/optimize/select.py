"""Feature selection for scikit-learn models: the model is fitted anew on what was selected."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_is_fitted

from trimtab.errors import InvalidPlan
from trimtab.optimize.parity import Figures, Report, median_us, parity, pickled_bytes

HELD_OUT = 0.25
_COUNTS = ("k", "n_features_to_select", "max_features")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Selected:
    """A model that reads ``kept`` of the original columns; callers go on sending all of them.

    ``places`` are the kept columns' positions, ``columns`` how many there are originally.
    """

    model: Any
    places: tuple[int, ...]
    kept: tuple[str, ...]
    columns: int
    report: Report

    def predict(self, X: Any) -> Any:
        """The model's answer for rows with their original columns."""
        return self.model.predict(self.pick(X))

    def predict_proba(self, X: Any) -> Any:
        """The model's class probabilities for rows with their original columns."""
        return self.model.predict_proba(self.pick(X))

    def pick(self, X: Any) -> Any:
        """The kept columns of rows with their original columns.

        Raises:
            InvalidPlan: the rows have other columns.
        """
        if np.ndim(X) != 2 or np.shape(X)[1] != self.columns:
            raise InvalidPlan(
                f"Rows have shape {np.shape(X)}, the model was trained on {self.columns} columns.",
                code="wrong_columns",
                hint="Send the original columns; the selection happens inside.",
            )
        if hasattr(X, "columns") and all(isinstance(name, str) for name in X.columns):
            missing = [name for name in self.kept if name not in X.columns]
            if missing:
                raise InvalidPlan(
                    f"The columns {', '.join(missing)} are missing.", code="wrong_columns"
                )
            return X[list(self.kept)]
        return _take(X, self.places)


def select_features(
    model: Any,
    selector: Any,
    X: Any,
    y: Any,
    *,
    seed: int = 0,
    timer: Callable[[], float] = time.perf_counter,
) -> Selected:
    """Select features, and fit a clone of the model on them.

    The report compares two fits on the same three quarters of the rows, with and without selection,
    on the quarter that neither has seen. The model that is returned is then selected and fitted on
    all rows. A setting of the selector that asks for more features than there are is lowered.

    Args:
        model: A scikit-learn estimator, fitted or not; it is not changed.
        selector: Anything with ``fit`` and ``get_support``, fitted or not; it is not changed. None
            keeps every feature, and the model as it is if it is fitted.
        X: Shape ``(rows, columns)``: a pandas frame or an array.
        y: Shape ``(rows,)``.
        seed: Of the split.
        timer: Seconds, for latencies.

    Raises:
        InvalidPlan: the model cannot be cloned, the selector keeps nothing, or either cannot be
            fitted on these rows; the message names the library's own reason.
    """
    if np.ndim(X) != 2 or len(X) != len(y) or len(X) < 8:
        raise InvalidPlan(
            f"Features of shape {np.shape(X)} and {len(y)} outcomes cannot be used.",
            code="wrong_shape",
            hint="Pass at least 8 rows of features in two dimensions and one outcome for each.",
        )
    blank = _cloned(model)
    if selector is None:
        return _unselected(model, X, y, seed, timer)
    chooser, notes = _bounded(_cloned(selector), np.shape(X)[1])
    parts = _split(blank, X, y, seed)
    before = _fitted(_cloned(blank), parts.X, parts.y)
    trial = _chosen(chooser, parts.X, parts.y)
    after = _fitted(_cloned(blank), _take(parts.X, trial), parts.y)
    first = _measure(before, parts.X_held, parts.y_held, timer)
    second = _measure(after, _take(parts.X_held, trial), parts.y_held, timer)
    places = _chosen(_cloned(chooser), X, y)
    report = _report(first, second, _names(X, places), np.shape(X)[1], notes)
    final = _fitted(blank, _take(X, places), y)
    return Selected(final, places, report.kept, report.columns, report)


@dataclass(frozen=True, slots=True)
class _Parts:
    X: Any
    y: Any
    X_held: Any
    y_held: Any


def _unselected(model: Any, X: Any, y: Any, seed: int, timer: Callable[[], float]) -> Selected:
    """The model as it is if it is fitted; its figures are those of one model twice."""
    notes = ["No selector was given: every feature is kept."]
    parts = _split(model, X, y, seed)
    if _is_fitted(model):
        final = measured = model
        notes.append("The model may have been fitted on the rows that were measured.")
    else:
        measured = _fitted(_cloned(model), parts.X, parts.y)
        final = _fitted(_cloned(model), X, y)
    figures = _measure(measured, parts.X_held, parts.y_held, timer)
    places = tuple(range(np.shape(X)[1]))
    report = _report(figures, figures, _names(X, places), len(places), notes)
    return Selected(final, places, report.kept, report.columns, report)


def _is_fitted(model: Any) -> bool:
    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    return True


def _cloned(estimator: T) -> T:
    try:
        copied: T = clone(estimator)
    except TypeError as error:
        raise InvalidPlan(
            f"{type(estimator).__name__} is no estimator: {error}",
            code="not_an_estimator",
            hint="Pass a scikit-learn estimator, or one that follows its conventions.",
        ) from error
    return copied


def _bounded(selector: Any, columns: int) -> tuple[Any, list[str]]:
    """The selector with no count above the number of columns, and what was lowered."""
    notes = []
    settings = selector.get_params()
    for name in _COUNTS:
        asked = settings.get(name)
        if isinstance(asked, int) and not isinstance(asked, bool) and asked > columns:
            selector.set_params(**{name: columns})
            notes.append(f"{name}={asked} is more than the {columns} columns: all are kept.")
    return selector, notes


def _split(model: Any, X: Any, y: Any, seed: int) -> _Parts:
    classes = None
    if is_classifier(model) and np.unique(np.asarray(y), return_counts=True)[1].min() > 1:
        classes = y
    X_fit, X_held, y_fit, y_held = train_test_split(
        X, y, test_size=HELD_OUT, random_state=seed, stratify=classes
    )
    return _Parts(X_fit, y_fit, X_held, y_held)


def _chosen(selector: Any, X: Any, y: Any) -> tuple[int, ...]:
    places = tuple(int(place) for place in np.flatnonzero(_fitted(selector, X, y).get_support()))
    if not places:
        raise InvalidPlan(
            f"{type(selector).__name__} keeps no feature.",
            code="nothing_selected",
            hint="Lower its threshold.",
        )
    return places


def _fitted(estimator: T, X: Any, y: Any) -> T:
    try:
        estimator.fit(X, y)  # type: ignore[attr-defined]  # sklearn has no types
    except (ValueError, TypeError) as error:
        raise InvalidPlan(
            f"{type(estimator).__name__} cannot be fitted on these rows: {error}",
            code="cannot_fit",
            hint="A selector needs numbers; a model that names its columns needs all of them.",
        ) from error
    return estimator


def _measure(model: Any, X: Any, y: Any, timer: Callable[[], float]) -> Figures:
    known, decisions = np.asarray(y), np.asarray(model.predict(X))
    if not is_classifier(model):
        outputs = decisions.astype(np.float64)
        metric, value = "rmse", root_mean_squared_error(known, outputs)
    elif hasattr(model, "predict_proba"):
        outputs = np.asarray(model.predict_proba(X), dtype=np.float64)
        if len(np.unique(known)) == 2 == outputs.shape[1]:
            metric, value = "roc_auc", roc_auc_score(known, outputs[:, 1])
        else:
            metric, value = "accuracy", accuracy_score(known, decisions)
    else:
        outputs = np.searchsorted(model.classes_, decisions).astype(np.float64)
        metric, value = "accuracy", accuracy_score(known, decisions)
    return Figures(
        metric=metric,
        value=float(value),
        size_bytes=pickled_bytes(model),
        row_us=median_us(partial(model.predict, X[:1]), timer),
        outputs=outputs,
        decisions=decisions,
    )


def _report(
    before: Figures,
    after: Figures,
    kept: tuple[str, ...],
    columns: int,
    notes: list[str],
) -> Report:
    return Report(
        metric=before.metric,
        value=(before.value, after.value),
        size_bytes=(before.size_bytes, after.size_bytes),
        row_us=(before.row_us, after.row_us),
        parity=parity(before, after),
        kept=kept,
        columns=columns,
        notes=tuple(notes),
    )


def _names(X: Any, places: tuple[int, ...]) -> tuple[str, ...]:
    names = X.columns if hasattr(X, "columns") else range(np.shape(X)[1])
    return tuple(str(names[place]) for place in places)


def _take(X: Any, places: tuple[int, ...]) -> Any:
    return X.iloc[:, list(places)] if hasattr(X, "iloc") else np.asarray(X)[:, list(places)]
