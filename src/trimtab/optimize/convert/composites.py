"""Estimators of estimators: calibration, voting, stacking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.isotonic import IsotonicRegression

from trimtab.compact.nodes import Calibrated, Calibration, Curve, Mean, Node, Pick, Stack
from trimtab.compact.program import numbers, places
from trimtab.optimize.convert.builder import Builder, Method, Reader
from trimtab.optimize.convert.symbols import Matrix, Number, Unsupported


def calibrated(model: Any, matrix: Matrix, method: Method, builder: Builder) -> Node:
    """The mean of calibrated classifiers."""
    if method != "predict_proba":
        raise Unsupported(f"CalibratedClassifierCV answers no {method}")
    parts = [_calibrated(each, matrix, builder) for each in model.calibrated_classifiers_]
    return Calibration(parts=tuple(parts), outputs=len(model.classes_))


def _calibrated(each: Any, matrix: Matrix, builder: Builder) -> Calibrated:
    base = each.estimator
    binary = len(each.classes) == 2
    scores = hasattr(base, "decision_function")
    part = builder.read(base, matrix, "decision_function" if scores else "predict_proba")
    if binary and not scores:
        part = Pick(part=part, column=1)
    classes = [1] if binary else np.searchsorted(each.classes, base.classes_).tolist()
    return Calibrated(
        part=part,
        curves=tuple(_curve(calibrator) for calibrator in each.calibrators),
        classes=places(classes),
    )


def _curve(calibrator: Any) -> Curve:
    if isinstance(calibrator, IsotonicRegression):
        if calibrator.out_of_bounds != "clip":
            raise Unsupported("an isotonic calibration that does not clip")
        return Curve(
            kind="isotonic",
            x=numbers(calibrator.X_thresholds_),
            y=numbers(calibrator.y_thresholds_),
        )
    if hasattr(calibrator, "a_"):
        return Curve(kind="sigmoid", x=numbers([calibrator.a_]), y=numbers([calibrator.b_]))
    raise Unsupported(f"a calibration by {type(calibrator).__name__}")


def voted(model: Any, matrix: Matrix, method: Method, builder: Builder) -> Node:
    """The mean of probabilities (soft) or of values."""
    regression = not is_classifier(model)
    if method != ("predict" if regression else "predict_proba"):
        raise Unsupported(f"{type(model).__name__} answers no {method}")
    if not regression and model.voting != "soft":
        raise Unsupported("a hard vote has no probabilities")
    parts = tuple(builder.read(part, matrix, method) for part in model.estimators_)
    weights = model._weights_not_none  # noqa: SLF001 - weights of dropped parts are left out there
    return Mean(
        parts=parts, weights=b"" if weights is None else numbers(weights), by_row=regression
    )


def stacked(model: Any, matrix: Matrix, method: Method, builder: Builder) -> Node:
    """A final estimator on what the others answer."""
    parts, skip, width = [], [], 0
    binary = is_classifier(model) and len(model.classes_) == 2
    kept = [part for part in model.estimators_ if not isinstance(part, str)]
    for part, asked in zip(kept, model.stack_method_, strict=True):
        if asked not in {"predict_proba", "decision_function", "predict"}:
            raise Unsupported(f"stacking on {asked}")
        if asked == "predict" and is_classifier(part):
            raise Unsupported("stacking on decided classes")
        parts.append(builder.read(part, matrix, asked))
        dropped = int(asked == "predict_proba" and binary)
        skip.append(dropped)
        classes = len(part.classes_) if asked == "predict_proba" else 1
        if asked == "decision_function" and len(part.classes_) > 2:
            classes = len(part.classes_)
        width += classes - dropped
    program = builder.program(matrix) if model.passthrough else -1
    if model.passthrough:
        if matrix.sparse:
            raise Unsupported("stacking passes sparse columns through")
        width += len(matrix.columns)
    given = Matrix(tuple(Number(place) for place in range(width)))
    final = builder.read(model.final_estimator_, given, method)
    return Stack(parts=tuple(parts), skip=tuple(skip), final=final, program=program)


READERS: Mapping[type, Reader] = {
    CalibratedClassifierCV: calibrated,
    StackingClassifier: stacked,
    StackingRegressor: stacked,
    VotingClassifier: voted,
    VotingRegressor: voted,
}
