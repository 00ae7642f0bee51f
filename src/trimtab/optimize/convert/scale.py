"""Scalers: StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, Binarizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sklearn.preprocessing import (
    Binarizer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from trimtab.optimize.convert.symbols import Column, Matrix, checked, then

Steps = list[tuple[str, tuple[float, ...]]]


def _standard(scaler: Any, place: int, sparse: bool) -> Steps:
    if sparse:  # scikit-learn multiplies sparse columns by the inverse, which rounds otherwise
        return [] if scaler.scale_ is None else [("multiply", (1 / scaler.scale_[place],))]
    steps: Steps = []
    if scaler.with_mean:
        steps.append(("subtract", (scaler.mean_[place],)))
    if scaler.with_std:
        steps.append(("divide", (scaler.scale_[place],)))
    return steps


def _min_max(scaler: Any, place: int, _: bool) -> Steps:
    steps: Steps = [("multiply", (scaler.scale_[place],)), ("add", (scaler.min_[place],))]
    return [*steps, ("clip", scaler.feature_range)] if scaler.clip else steps


def _max_abs(scaler: Any, place: int, sparse: bool) -> Steps:
    size = scaler.scale_[place]
    steps: Steps = [("multiply", (1.0 / size,)) if sparse else ("divide", (size,))]
    return [*steps, ("clip", (-1.0, 1.0))] if getattr(scaler, "clip", False) else steps


def _robust(scaler: Any, place: int, sparse: bool) -> Steps:
    if sparse:
        return [("multiply", (1.0 / scaler.scale_[place],))] if scaler.with_scaling else []
    steps: Steps = []
    if scaler.with_centering:
        steps.append(("subtract", (scaler.center_[place],)))
    if scaler.with_scaling:
        steps.append(("divide", (scaler.scale_[place],)))
    return steps


def _by(steps_of: Callable[[Any, int, bool], Steps]) -> Callable[[Any, Matrix], Matrix]:
    def converter(scaler: Any, matrix: Matrix) -> Matrix:
        found: list[Column] = []
        for place, column in enumerate(matrix.columns):
            scaled = checked(column, nan=True)
            for name, numbers in steps_of(scaler, place, matrix.sparse):
                scaled = then(scaled, name, *numbers)
            found.append(scaled)
        return Matrix(tuple(found), matrix.names, matrix.sparse)

    return converter


def binarized(binarizer: Any, matrix: Matrix) -> Matrix:
    """``x > threshold`` as 0 or 1; refuses NaN."""
    columns = tuple(
        then(checked(column, nan=False), "is_above", binarizer.threshold)
        for column in matrix.columns
    )
    return Matrix(columns, matrix.names, matrix.sparse)


CONVERTERS: Mapping[type, Callable[[Any, Matrix], Matrix]] = {
    Binarizer: binarized,
    MaxAbsScaler: _by(_max_abs),
    MinMaxScaler: _by(_min_max),
    RobustScaler: _by(_robust),
    StandardScaler: _by(_standard),
}
