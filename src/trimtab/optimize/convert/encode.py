"""Encoders of categories: OneHotEncoder, OrdinalEncoder, TargetEncoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from trimtab.compact.program import REFUSED
from trimtab.optimize.convert.symbols import (
    Cell,
    Coding,
    Column,
    Matrix,
    Text,
    Unsupported,
    checked,
    coded,
)

_NAN = object()


def one_hot(encoder: Any, matrix: Matrix) -> Matrix:
    """A column for each category that is kept; unknown ones are all zeros, infrequent or refused."""
    found: list[Column] = []
    for place, column in enumerate(matrix.columns):
        categories = encoder.categories_[place]
        places, groups, infrequent = _groups(encoder, place)
        unknown = {
            "error": REFUSED,
            "ignore": groups,
            "infrequent_if_exist": groups if infrequent is None else infrequent,
            "warn": groups if infrequent is None else infrequent,
        }[encoder.handle_unknown]
        coding = _coding(checked(column, nan=True), categories, places, unknown)
        kept = list(range(groups))
        drop = None if encoder.drop_idx_ is None else encoder.drop_idx_[place]
        if drop is not None:
            kept.remove(places[drop])
        found += [Cell(coding, 0.0, ((group, 1.0),)) for group in kept]
    return Matrix(tuple(found), sparse=bool(encoder.sparse_output))


def ordinal(encoder: Any, matrix: Matrix) -> Matrix:
    """A number for each category."""
    found: list[Column] = []
    for place, column in enumerate(matrix.columns):
        categories = encoder.categories_[place]
        places, groups, _ = _groups(encoder, place, gaps=False)
        known = encoder.handle_unknown == "use_encoded_value"
        coding = _coding(
            checked(column, nan=True), categories, places, groups + 1 if known else REFUSED
        )
        values = [*map(float, range(groups)), float(encoder.encoded_missing_value)]
        if known:
            values.append(float(encoder.unknown_value))
        values = np.array(values).astype(encoder.dtype).astype(np.float64).tolist()
        found.append(Cell(coding, 0.0, tuple(enumerate(values))))
    return Matrix(tuple(found), matrix.names)


def target(encoder: Any, matrix: Matrix) -> Matrix:
    """The mean outcome of each category, of each class where there are several."""
    found: list[Column] = []
    classes = len(encoder.classes_) if encoder.target_type_ == "multiclass" else 1
    means = np.atleast_1d(encoder.target_mean_)
    for place, column in enumerate(matrix.columns):
        categories = encoder.categories_[place]
        count = len(categories)
        coding = _coding(checked(column, nan=True), categories, list(range(count)), count)
        for index in range(classes):
            values = encoder.encodings_[place * classes + index].tolist()
            values.append(float(means[index if classes > 1 else 0]))
            found.append(Cell(coding, 0.0, tuple(enumerate(values))))
    return Matrix(tuple(found))


def _groups(encoder: Any, place: int, *, gaps: bool = True) -> tuple[list[int], int, int | None]:
    """Each category's group, how many groups there are, and that of the infrequent ones.

    Without ``gaps``, a missing value is no member of any group; its number is that of groups.
    """
    categories = encoder.categories_[place].tolist()
    rare = encoder.infrequent_categories_[place] if _grouping(encoder) else None
    few = set() if rare is None else {_key(value) for value in rare.tolist()}
    apart = [not gaps and _is_gap(value) for value in categories]
    common = [
        value
        for value, gap in zip(categories, apart, strict=True)
        if not gap and _key(value) not in few
    ]
    order = {_key(value): group for group, value in enumerate(common)}
    groups = len(common) + bool(few)
    places = [
        groups if gap else order.get(_key(value), len(common))
        for value, gap in zip(categories, apart, strict=True)
    ]
    return places, groups, len(common) if few else None


def _grouping(encoder: Any) -> bool:
    return encoder.min_frequency is not None or encoder.max_categories is not None


def _coding(column: Column, categories: Any, places: list[int], unknown: int) -> Coding:
    values = categories.tolist()
    wanted = str if isinstance(column, Text) else (int, float, bool)
    keys = [value for value in values if not _is_gap(value)]
    if not all(isinstance(key, wanted) for key in keys):
        raise Unsupported("an encoder learned categories of another type than the column has")
    codes = {_key(value): code for value, code in zip(values, places, strict=True)}

    def code_of(value: Any) -> int:
        return codes.get(_key(value), unknown)

    if not isinstance(column, Text):
        keys = sorted(float(key) for key in keys)
    return coded(column, keys, code_of)


def _key(value: Any) -> Any:
    return _NAN if isinstance(value, float) and math.isnan(value) else value


def _is_gap(value: Any) -> bool:
    return value is None or _key(value) is _NAN


CONVERTERS: Mapping[type, Callable[[Any, Matrix], Matrix]] = {
    OneHotEncoder: one_hot,
    OrdinalEncoder: ordinal,
    TargetEncoder: target,
}
