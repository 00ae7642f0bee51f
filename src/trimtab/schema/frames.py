"""From a pandas, polars or pyarrow table to a signature or to columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from narwhals.exceptions import DuplicateError

from trimtab.errors import InvalidInput, InvalidRow
from trimtab.schema.checker import column
from trimtab.schema.refusals import listed, meant, missing, refusal
from trimtab.schema.values import CONVERT, MAX_EXACT, WrongValue
from trimtab.types import Array, Columns, FeatureKind, FeatureSpec, Signature, Task


def infer_signature(
    frame: object,
    *,
    task: Task,
    labels: Sequence[str] = (),
    threshold: float = 0.5,
    units: Mapping[str, str] | None = None,
) -> Signature:
    """The signature of a model that was trained on ``frame``.

    Args:
        frame: The features alone (pandas, polars or pyarrow), one column each, at least one row.
        task: What the model answers.
        labels: The classes in the order of the output columns; none for a regression.
        threshold: The score from which on a binary decision is positive, in [0, 1].
        units: Free text by feature name, for example ``{"distance": "mile"}``.

    Raises:
        InvalidInput: a column has no usable type, names repeat, or nothing is there.
    """
    _check_task(task, labels, threshold)
    table = opened(frame)
    if not len(table):
        raise InvalidInput(
            "The frame has no rows.", hint="Pass the training features.", code="no_rows"
        )
    units = units or {}
    for name in units:
        if name not in table.columns:
            raise InvalidInput(
                f"A unit is given for {name!r}, which is no column of the frame.",
                hint=meant(name, table.columns),
                code="unknown_feature",
                path=f"units.{name}",
            )
    features = tuple(_spec(table[name], units.get(name)) for name in table.columns)
    return Signature(features=features, task=task, labels=tuple(labels), threshold=threshold)


def columns_from_frame(
    signature: Signature, frame: object, *, provided: Collection[str] = ()
) -> Columns:
    """A table of features as columns for a Predictor; other columns of the table are left alone.

    Args:
        signature: What the model takes.
        frame: pandas, polars or pyarrow.
        provided: Features that views fill: their columns, or values in them, may be missing.

    Raises:
        InvalidRow: naming column and row of the first value that the model cannot take.
    """
    table = opened(frame)
    arrays = []
    for spec in signature.features:
        if spec.name in table.columns:
            array = _array(table[spec.name], spec)
        elif spec.name in provided:
            array = column(spec, (None,) * len(table))
        else:
            strangers = [name for name in table.columns if name not in signature.names]
            raise InvalidRow(
                f"The table has no column {spec.name!r}.",
                hint=meant(spec.name, strangers) or f"It has: {listed(table.columns)}.",
                code="missing_feature",
                path=f"features.{spec.name}",
            )
        if not spec.nullable and spec.name not in provided:
            gaps = np.flatnonzero(_missing_mask(array))
            if gaps.size:
                raise missing(spec.name, f"rows[{gaps[0]}]", (), ())
        arrays.append(array)
    return Columns(features=signature.features, arrays=tuple(arrays))


def _check_task(task: Task, labels: Sequence[str], threshold: float) -> None:
    wrong = ""
    if task is Task.REGRESSION and labels:
        wrong = "A regression has no labels."
    elif task is Task.BINARY and len(labels) not in (0, 2):
        wrong = f"A binary task has two labels (negative, positive), not {len(labels)}."
    elif task is Task.MULTICLASS and len(labels) < 2:
        wrong = "A multiclass task needs its labels, in the order of the output columns."
    elif len(set(labels)) < len(labels):
        wrong = f"The labels {list(labels)} repeat themselves."
    if wrong:
        raise InvalidInput(wrong, code="invalid_labels", path="labels")
    if not 0 <= threshold <= 1:
        raise InvalidInput(
            f"The threshold {threshold!r} is not between 0 and 1.",
            code="invalid_threshold",
            path="threshold",
        )


def opened(frame: object) -> nw.DataFrame[Any]:
    """Any table as one of narwhals.

    Raises:
        InvalidInput: it is none, has no columns, or their names repeat or are no texts.
    """
    try:
        table: nw.DataFrame[Any] = nw.from_native(frame, eager_only=True)
    except DuplicateError as repeated:
        raise InvalidInput(
            f"Column names repeat: {' '.join(str(repeated).split())}",
            hint="Rename them so that each feature has a name of its own.",
            code="duplicate_columns",
        ) from repeated
    except TypeError as wrong:
        raise InvalidInput(
            f"{type(frame).__name__} is not a table.",
            hint="Pass a pandas, polars or pyarrow table.",
            code="not_a_table",
        ) from wrong
    names: list[object] = list(table.columns)
    if not names:
        raise InvalidInput("No columns.", hint="Pass a table of features.", code="no_columns")
    for name in names:
        if not isinstance(name, str) or not name:
            raise InvalidInput(
                f"The column name {name!r} is not a text.",
                hint="Name the columns; features are found by name.",
                code="invalid_column_name",
            )
    return table


def _spec(series: nw.Series[Any], unit: str | None) -> FeatureSpec:
    kind = _kind(series)
    spec = FeatureSpec(name=series.name, kind=kind, nullable=True, unit=unit)
    nullable = bool(_missing_mask(_array(series, spec)).any())
    return FeatureSpec(name=series.name, kind=kind, nullable=nullable, unit=unit)


def _kind(series: nw.Series[Any]) -> FeatureKind:
    dtype = series.dtype
    if dtype.is_integer():
        return FeatureKind.INTEGER
    if dtype.is_numeric():
        return FeatureKind.NUMERIC
    if dtype == nw.Boolean:
        return FeatureKind.BOOLEAN
    kinds = {type(value) for value in _values(series) if value is not None}
    if dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object):
        if kinds == {str}:
            return FeatureKind.CATEGORICAL
        if kinds == {bool}:
            return FeatureKind.BOOLEAN
    if not kinds:
        raise InvalidInput(
            f"The column {series.name!r} has no values, so its type is unknown.",
            hint="Drop the column, or give it a type.",
            code="empty_column",
            path=series.name,
        )
    shown = dtype if kinds <= {str} else " and ".join(sorted(kind.__name__ for kind in kinds))
    raise InvalidInput(
        f"The column {series.name!r} has values of type {shown}, which no feature kind takes.",
        hint="Turn it into numbers, booleans or strings first.",
        code="unsupported_dtype",
        path=series.name,
    )


def _values(series: nw.Series[Any]) -> list[object]:
    gaps = series.is_null().to_list()
    return [None if gone else value for value, gone in zip(series.to_list(), gaps, strict=True)]


def _array(series: nw.Series[Any], spec: FeatureSpec) -> Array:
    """One column of a frame as :class:`~trimtab.types.Columns` holds it."""
    if spec.kind in (FeatureKind.NUMERIC, FeatureKind.INTEGER) and series.dtype.is_float():
        array = series.to_numpy().astype(np.float64)
        sound = not np.isinf(array).any()
        if spec.kind is FeatureKind.INTEGER:
            present = array[~np.isnan(array)]
            sound = sound and bool(np.all(np.trunc(present) == present))
            sound = sound and not np.any(np.abs(present) > MAX_EXACT)
        if sound:
            return array
    if series.dtype == nw.Decimal:
        series = series.cast(nw.Float64)
    convert = CONVERT[spec.kind]
    values = []
    for row, raw in enumerate(_values(series)):
        try:
            values.append(convert(raw))
        except WrongValue as wrong:
            raise refusal(series.name, wrong, f"rows[{row}]") from None
    return column(spec, values)


def _missing_mask(array: Array) -> Array:
    if array.dtype == object:
        return np.array([value is None for value in array], dtype=bool)
    return np.isnan(array)
