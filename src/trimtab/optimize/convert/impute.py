"""SimpleImputer and MissingIndicator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sklearn.impute import MissingIndicator, SimpleImputer

from trimtab.optimize.convert.symbols import (
    Cell,
    Coding,
    Column,
    Matrix,
    Refuse,
    Text,
    Unsupported,
    checked,
    then,
)


def imputed(imputer: Any, matrix: Matrix) -> Matrix:
    """Missing values filled; columns that were empty at the fit dropped; indicators at the end."""
    gap = imputer.missing_values
    columns = [_checked(column, gap) for column in matrix.columns]
    found: list[Column] = []
    for column, value in zip(columns, imputer.statistics_, strict=True):
        if _is_nan(value) and not imputer.keep_empty_features:
            continue
        found.append(_filled(column, gap, value))
    if imputer.add_indicator:
        marks = imputer.indicator_.features_
        found += [_flag(columns[place], gap) for place in marks]
    return Matrix(tuple(found), sparse=matrix.sparse)


def indicated(indicator: Any, matrix: Matrix) -> Matrix:
    """1 where a value is missing."""
    if indicator.features == "missing-only" and indicator.error_on_new:
        raise Unsupported("MissingIndicator refuses new missing values (error_on_new)")
    gap = indicator.missing_values
    columns = [_checked(column, gap) for column in matrix.columns]
    return Matrix(tuple(_flag(columns[place], gap) for place in indicator.features_))


def _checked(column: Column, gap: Any) -> Column:
    """scikit-learn allows NaN only where NaN is what is missing."""
    if not isinstance(column, Text):
        return checked(column, nan=_is_nan(gap))
    if not _is_nan(gap) and _is_nan(column.missing) and _is_nan(column.value(None)):
        return replace(column, changed=_changed(column, None, Refuse.ROW))
    return column


def _filled(column: Column, gap: Any, value: Any) -> Column:
    if isinstance(column, Text):
        return _filled_text(column, gap, value)
    if not isinstance(value, int | float) and not hasattr(value, "dtype"):
        raise Unsupported(f"SimpleImputer fills numbers with {value!r}")
    if _is_nan(gap):
        return then(column, "fill_nan", float(value))
    if not isinstance(gap, int | float):
        raise Unsupported(f"SimpleImputer takes {gap!r} for missing")
    return then(column, "fill_equal", float(gap), float(value))


def _filled_text(column: Text, gap: Any, value: Any) -> Text:
    if not isinstance(value, str):
        raise Unsupported(f"SimpleImputer fills text with {value!r}")
    for raw in [None, *(key for key, _ in column.changed)]:
        if _same(column.value(raw), gap):
            column = replace(column, changed=_changed(column, raw, value))
    if isinstance(gap, str) and gap not in dict(column.changed):
        column = replace(column, changed=_changed(column, gap, value))
    return column


def _flag(column: Column, gap: Any) -> Column:
    if isinstance(column, Text):
        if isinstance(gap, str):
            raise Unsupported("a missing indicator of a word")
        missing = int(_same(column.value(None), gap))
        raws = [raw for raw, _ in column.changed if raw is not None]
        codes = tuple(int(_same(column.value(raw), gap)) for raw in raws)
        coding = Coding(column.source, tuple(raws), codes, missing, 0)
        return Cell(coding, 0.0, ((1, 1.0),))
    if _is_nan(gap):
        return then(column, "is_nan")
    if isinstance(gap, int | float):
        return then(column, "is_equal", float(gap))
    raise Unsupported(f"a missing indicator of {gap!r}")


def _changed(column: Text, raw: str | None, value: Any) -> tuple[tuple[str | None, Any], ...]:
    return tuple({**dict(column.changed), raw: value}.items())


def _same(value: Any, gap: Any) -> bool:
    if _is_nan(gap):
        return _is_nan(value)
    return value is None if gap is None else bool(isinstance(value, str) and value == gap)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


CONVERTERS: Mapping[type, Callable[[Any, Matrix], Matrix]] = {
    MissingIndicator: indicated,
    SimpleImputer: imputed,
}
