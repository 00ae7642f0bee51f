"""From a frame to columns that can be compared: nothing in the data is refused, it is counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np
import pyarrow as pa

from trimtab.drift.frames import coded_of, floats_of
from trimtab.errors import InvalidInput, InvalidRow
from trimtab.sketch import Coded
from trimtab.types import Array, Columns, FeatureKind, FeatureSpec, FloatArray

_DTYPES: dict[type, FeatureKind] = {
    nw.Boolean: FeatureKind.BOOLEAN,
    nw.String: FeatureKind.CATEGORICAL,
    nw.Categorical: FeatureKind.CATEGORICAL,
    nw.Enum: FeatureKind.CATEGORICAL,
}
_BOOLEANS = {"true": 1.0, "false": 0.0}
_WRONG = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


class Read(NamedTuple):
    """A table's features: categories as codes where the table has them so.

    ``odd`` has for each column the rows whose value was of another type than the feature's.
    """

    features: tuple[FeatureSpec, ...]
    arrays: tuple[Array | Coded, ...]
    odd: tuple[int, ...]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.arrays[0]) if self.arrays else 0

    def columns(self, chosen: Array | slice = slice(None)) -> Columns:
        """Some of the rows, categories as text."""
        some = (array[chosen] for array in self.arrays)
        texts = tuple(array.texts() if isinstance(array, Coded) else array for array in some)
        return Columns(features=self.features, arrays=texts)


def kinds_of(table: nw.DataFrame[Any], types: Mapping[str, FeatureKind]) -> tuple[FeatureSpec, ...]:
    """The columns as features; vectors, dates and other nested values are refused by name.

    A column without any value is numeric, unless ``types`` says otherwise.

    Args:
        table: The reference.
        types: Kinds by column name; they win over what the column looks like.

    Raises:
        InvalidInput: a column has no usable type, or ``types`` names none of the columns.
    """
    for name in types:
        if name not in table.columns:
            raise InvalidInput(
                f"A type is given for {name!r}, which is no column of the reference.",
                hint=f"It has: {', '.join(table.columns)}.",
                code="unknown_feature",
                path=f"types.{name}",
            )
    return tuple(
        FeatureSpec(name=name, kind=types.get(name) or _kind(table[name]), nullable=True)
        for name in table.columns
    )


def read_columns(
    specs: Sequence[FeatureSpec], table: nw.DataFrame[Any], *, numerals: bool = False
) -> Read:
    """The features' columns; other columns of the table are left alone.

    Infinite values stay. Values of another type than the feature's are missing where a number is
    wanted and text where a category is, and counted.

    Args:
        specs: The features.
        table: Their rows.
        numerals: Whether text that spells a number is one, as in files that have nothing but text.

    Raises:
        InvalidRow: the table lacks a feature.
    """
    arrays: list[Array | Coded] = []
    odd: list[int] = []
    for spec in specs:
        array, wrong = _column(column_of(table, spec.name), spec.kind, numerals=numerals)
        arrays.append(array)
        odd.append(wrong)
    return Read(tuple(specs), tuple(arrays), tuple(odd))


def column_of(table: nw.DataFrame[Any], name: str) -> nw.Series[Any]:
    """A feature's column.

    Raises:
        InvalidRow: the table lacks it.
    """
    if name in table.columns:
        return table[name]
    raise InvalidRow(
        f"The table has no column {name!r}.",
        hint=f"It has: {', '.join(map(str, table.columns[:12]))}.",
        code="missing_feature",
        path=f"features.{name}",
    )


def numbers_of(series: nw.Series[Any]) -> FloatArray:
    """A column as numbers; what is none is missing."""
    return _column(series, FeatureKind.NUMERIC)[0]  # type: ignore[return-value]  # no codes


def is_vector(series: nw.Series[Any]) -> bool:
    """Whether a column holds vectors: embeddings."""
    return isinstance(series.dtype, nw.List | nw.Array)


def vectors_of(series: nw.Series[Any]) -> FloatArray:
    """A column of vectors as shape ``(rows, dimensions)``; rows without one are left out.

    Raises:
        InvalidInput: the vectors differ in length.
    """
    rows = [vector for vector in series.to_list() if vector is not None]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        raise InvalidInput(
            f"The vectors of {series.name!r} have between {min(lengths)} and {max(lengths)} values.",
            hint="An embedding has the same number of dimensions in every row.",
            code="ragged_vectors",
            path=series.name,
        )
    return np.array(rows, dtype=np.float64).reshape(len(rows), max(lengths, default=0))


def _kind(series: nw.Series[Any]) -> FeatureKind:
    dtype = series.dtype
    known = _DTYPES.get(type(dtype))
    if known is not None:
        return known
    if dtype.is_numeric():
        return FeatureKind.INTEGER if dtype.is_integer() else FeatureKind.NUMERIC
    return _kind_of_values(series)


def _kind_of_values(series: nw.Series[Any]) -> FeatureKind:
    values = [value for value in series.to_list() if not _is_missing(value)]
    kinds = {type(value) for value in values}
    if not kinds:
        return FeatureKind.NUMERIC
    if kinds <= {str, int, float, bool}:
        plain = FeatureKind.BOOLEAN if kinds == {bool} else FeatureKind.NUMERIC
        return FeatureKind.CATEGORICAL if str in kinds else plain
    shown = (
        series.dtype if len(kinds) == 1 else " and ".join(sorted(kind.__name__ for kind in kinds))
    )
    raise InvalidInput(
        f"The column {series.name!r} has values of type {shown}, which cannot be compared.",
        hint="Turn it into numbers, booleans or text, or leave it out.",
        code="unsupported_dtype",
        path=series.name,
    )


def _column(
    series: nw.Series[Any], kind: FeatureKind, *, numerals: bool = False
) -> tuple[Array | Coded, int]:
    numeric = kind is not FeatureKind.CATEGORICAL
    if numeric and (series.dtype.is_float() or series.dtype.is_integer()):
        native = series.to_native()
        if isinstance(native, pa.ChunkedArray):
            return floats_of(native.cast(pa.float64(), safe=False)), 0
        native = series.to_numpy()
        if native.dtype.kind in "fiu" and (native.dtype.kind == "f" or not series.null_count()):
            return native.astype(np.float64, copy=False), 0
    try:
        found = series.to_arrow()
    except _WRONG:
        return _by_value(series.to_list(), kind)
    whole = found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])
    if numeric and numerals and _is_text(whole.type):
        return _by_value([*map(_spelled, whole.to_pylist())], kind)
    return _numbers(whole) if numeric else _texts(whole)


def _numbers(found: pa.ChunkedArray) -> tuple[Array, int]:
    kind = found.type
    if pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind):
        found = found.cast(pa.float64(), safe=False)
    elif not (pa.types.is_floating(kind) or pa.types.is_null(kind)):
        return _by_value(found.to_pylist(), FeatureKind.NUMERIC)
    return floats_of(found.cast(pa.float64(), safe=False)), 0


def _texts(found: pa.ChunkedArray) -> tuple[Array | Coded, int]:
    if not (
        _is_text(found.type) or pa.types.is_dictionary(found.type) or pa.types.is_null(found.type)
    ):
        return _by_value(found.to_pylist(), FeatureKind.CATEGORICAL)
    return coded_of(found), 0


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _spelled(text: str | None) -> float | str | None:
    """The number or boolean that a text spells, else the text itself."""
    word = (text or "").strip().lower()
    if word in _BOOLEANS:
        return _BOOLEANS[word]
    try:
        return float(word) if "_" not in word else text
    except ValueError:
        return text


def _by_value(values: Sequence[object], kind: FeatureKind) -> tuple[Array, int]:
    """Value by value, for columns of several types."""
    if kind is FeatureKind.CATEGORICAL:
        odd = sum(not _is_missing(value) and not isinstance(value, str) for value in values)
        column = np.empty(len(values), dtype=object)
        column[:] = [None if _is_missing(value) else _text(value) for value in values]
        return column, odd
    numbers = np.full(len(values), math.nan)
    odd = 0
    for row, value in enumerate(values):
        if isinstance(value, int | float):
            numbers[row] = _float(value)
        elif not _is_missing(value):
            odd += 1
    return numbers, odd


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond 1e308
        return math.inf if value > 0 else -math.inf


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
