"""The forms in which people hold rows: frames, dictionaries, lists and arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa
from narwhals.dependencies import is_into_dataframe, is_into_series

from trimtab.errors import InvalidInput, InvalidRow
from trimtab.types import FloatArray


def row_of(features: Any, names: Sequence[str]) -> dict[str, Any] | None:
    """The values by name if this is one row, else None.

    Args:
        features: A mapping of scalars, a pandas Series, or a flat list or array, whose values are
            taken in the order of ``names``.
        names: The features that are expected.

    Raises:
        InvalidRow: a flat list or array with another number of values.
    """
    if isinstance(features, Mapping):
        return None if any(map(_is_nested, features.values())) else dict(features)
    if is_into_series(features):
        labels = getattr(features, "index", None)
        if labels is not None and len(labels) and isinstance(labels[0], str):
            return dict(zip(labels, features, strict=True))
        return _named(list(features), names)
    if isinstance(features, np.ndarray) and features.ndim == 1:
        return _named(features.tolist(), names)
    if isinstance(features, list | tuple) and features and not _is_nested(features[0]):
        return _named(features, names)
    return None


def table_of(data: Any, names: Sequence[str] = ()) -> Any:
    """Any form of rows as a table that ``trimtab.schema`` reads; frames are left as they are.

    Args:
        data: A pandas, polars or pyarrow frame, a mapping of columns, a list of mappings, a list of
            lists, an array of shape ``(rows, features)``, or one row.
        names: What the columns of arrays and lists are called; ``x0``, ``x1``, ... if empty.

    Raises:
        InvalidInput: it is none of these.
    """
    return data if is_into_dataframe(data) else _arrow(_columns_of(data, names))


def model_input(model: Any, features: Any) -> Any:
    """Rows as the model's ``predict`` takes them.

    Frames and arrays of two dimensions pass unchanged. Other forms become a frame if the model was
    fitted on one, an array if it was fitted on an array, and pass unchanged to any other object.

    Raises:
        InvalidRow: a feature is missing that the model was fitted on.
    """
    if is_into_dataframe(features) or getattr(features, "ndim", 0) == 2:
        return features
    names = [str(name) for name in getattr(model, "feature_names_in_", ())]
    width = getattr(model, "n_features_in_", None)
    if width is None:
        return features
    columns = _columns_of(features, names or _numbered(width))
    if not names:
        return np.column_stack([np.asarray(values) for values in columns.values()])
    for name in names:
        if name not in columns:
            raise InvalidRow(
                f"The feature {name!r} is missing, and the model was fitted on it.",
                hint=f"It takes: {', '.join(names)}.",
                code="missing_feature",
                path=f"features.{name}",
            )
    return nw.from_dict({name: columns[name] for name in names}, backend="pandas").to_native()


def seconds_of(times: Any) -> FloatArray:
    """Event times as Unix seconds, shape ``(rows,)``; NaN where unknown.

    Args:
        times: Numbers (Unix seconds) or datetimes (UTC where they have no zone).

    Raises:
        InvalidInput: they are neither.
    """
    array = np.asarray(times)
    if array.dtype == object:
        array = np.asarray(pa.array(array, from_pandas=True).to_numpy(zero_copy_only=False))
    if array.dtype.kind == "M":
        microseconds = array.astype("datetime64[us]")
        seconds: FloatArray = microseconds.astype(np.int64) / 1e6
        return np.where(np.isnat(microseconds), np.nan, seconds)
    if array.dtype.kind not in "iuf" or array.ndim != 1:
        raise InvalidInput(
            f"Times of type {array.dtype} and shape {array.shape} cannot be used.",
            hint="Pass one Unix second or datetime for each row of the reference.",
            code="invalid_times",
            path="times",
        )
    return array.astype(np.float64)


def _columns_of(data: Any, names: Sequence[str]) -> Mapping[Any, Any]:
    row = row_of(data, names)
    if row is not None:
        return {name: [value] for name, value in row.items()}
    if isinstance(data, Mapping):
        return data
    if isinstance(data, np.ndarray) and data.ndim == 2:
        return _by_position(data.T, data.shape[1], names)
    if isinstance(data, list | tuple):
        mappings = sum(isinstance(member, Mapping) for member in data)
        if mappings == len(data):
            return _by_name(data)
        if not mappings and all(map(_is_nested, data)):
            return _from_lists(data, names)
    raise InvalidInput(
        f"{_described(data)} is not a table.",
        hint="Pass a pandas, polars or pyarrow frame, a dict of columns, a list of dicts, or an "
        "array of shape (rows, features).",
        code="not_a_table",
    )


def _is_nested(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _named(values: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    names = names or _numbered(len(values))
    if len(values) != len(names):
        raise InvalidRow(
            f"The row has {len(values)} values, and {len(names)} features are expected.",
            hint=f"Their order is: {', '.join(names)}. A dict needs no order.",
            code="wrong_width",
        )
    return dict(zip(names, values, strict=True))


def _numbered(count: int) -> list[str]:
    return [f"x{position}" for position in range(count)]


def _by_position(columns: Iterable[Any], width: int, names: Sequence[str]) -> dict[str, Any]:
    names = names or _numbered(width)
    if width != len(names):
        raise InvalidInput(
            f"The rows have {width} columns, and {len(names)} features are expected.",
            hint=f"Their order is: {', '.join(names)}. Frames and dicts need no order.",
            code="wrong_width",
        )
    return dict(zip(names, columns, strict=True))


def _from_lists(rows: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise InvalidInput(
            f"The rows have between {min(widths)} and {max(widths)} values.",
            hint="Give every row a value for each feature, None where it is missing.",
            code="wrong_width",
        )
    return _by_position(map(list, zip(*rows, strict=True)), max(widths, default=0), names)


def _by_name(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _arrow(columns: Mapping[Any, Any]) -> pa.Table:
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[str(name)] = pa.array(values, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as wrong:
            raise InvalidInput(
                f"The values of {str(name)!r} are not of one type: {str(wrong).splitlines()[0]}.",
                hint="Make them all numbers, all booleans or all text; None is missing.",
                code="mixed_types",
                path=f"features.{name}",
            ) from wrong
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInput(
            f"The columns differ in length: {lengths}.",
            hint="Give every column one value a row.",
            code="ragged_columns",
        )
    return pa.table(arrays)


def _described(data: Any) -> str:
    shape = getattr(data, "shape", None)
    return type(data).__name__ if shape is None else f"{type(data).__name__} of shape {shape}"
