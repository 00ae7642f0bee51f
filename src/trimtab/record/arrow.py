"""Records as the columns of a part: those that are built alike from their bytes, the others value by value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from trimtab.record.table import FIELDS, KINDS
from trimtab.recordtable import (
    Alike,
    Bytes,
    Loose,
    Piece,
    Places,
    RecordTable,
    Spot,
    numbers_at,
    values_at,
    variants,
)
from trimtab.types import FeatureKind, FeatureSpec, Scalar

_SPOTS = {
    FeatureKind.NUMERIC: "float",
    FeatureKind.INTEGER: "whole",
    FeatureKind.BOOLEAN: "bool",
    FeatureKind.CATEGORICAL: "text",
}
_TYPES: dict[FeatureKind, type] = {
    FeatureKind.NUMERIC: float,
    FeatureKind.INTEGER: int,
    FeatureKind.BOOLEAN: bool,
    FeatureKind.CATEGORICAL: str,
}
_WHOLES = range(-(2**63), 2**63)


def columns_of(
    records: RecordTable, places: Places, specs: Sequence[FeatureSpec] | None, schema: pa.Schema
) -> pa.Table:
    """Some records of one version as columns.

    Args:
        records: In the order of ``places``.
        places: The place of each in its segment.
        specs: The features that are columns; None if the version is not known.
        schema: Own fields, the place, the record's bytes where columns do not give it back, and the features.
    """
    tables, order = [], []
    for piece, rows, at in records.parts():
        for arrays, chosen in _arrays(piece.where(rows), specs):
            arrays.insert(len(FIELDS), pa.array(places[at[chosen]]))
            tables.append(pa.Table.from_arrays(arrays, schema=schema))
            order.append(at[chosen])
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables).take(np.argsort(np.concatenate(order))).combine_chunks()


def _arrays(
    piece: Piece, specs: Sequence[FeatureSpec] | None
) -> Iterator[tuple[list[pa.Array], Places]]:
    """Own columns, bytes and features: of those records that columns give back, then of the others; and which they are."""
    left = np.arange(len(piece))
    if isinstance(piece, Alike):
        fits = _fits(piece, specs)
        if fits.any():
            yield _alike(piece.where(left[fits]), specs or ()), left[fits]
        left = left[~fits]
    if len(left):
        yield _loose(Loose([piece.record(row) for row in left.tolist()]), specs), left


def _fits(piece: Alike, specs: Sequence[FeatureSpec] | None) -> npt.NDArray[np.bool_]:
    """Which records have a value of its feature's kind at each spot, or none."""
    values = piece.fields["values"].parts
    found = np.full(len(piece), specs is not None and len(specs) == len(values))
    for spec, spot in zip(specs or (), values, strict=False):
        if set(spot.kinds) <= {"nil", _SPOTS[spec.kind]} - {"whole"}:
            continue
        for rows, table, one in variants(piece.table, spot):
            if one.kind not in ("nil", _SPOTS[spec.kind]):
                found[rows] = False
            elif one.form == ">u8":
                found[rows] &= numbers_at(table, one) <= _WHOLES[-1]
    return found


def _alike(piece: Alike, specs: Sequence[FeatureSpec]) -> list[pa.Array]:
    """Columns of records that need no bytes beside them."""
    arrays = [_own(piece, name, kind) for name, kind in FIELDS.items()]
    arrays.append(pa.nulls(len(piece), pa.binary()))
    values = piece.fields["values"].parts
    return arrays + [
        _array(piece.table, spot, KINDS[spec.kind])
        for spec, spot in zip(specs, values, strict=True)
    ]


def _own(piece: Alike, name: str, kind: pa.DataType) -> pa.Array:
    spot = piece.fields.get(name)
    if spot is None:  # written before there was such a field
        return pa.array([_of_map(value) for value in piece.cells(name)], kind)
    return _array(piece.table, spot, kind)


def _array(table: Bytes, spot: Spot, kind: pa.DataType) -> pa.Array:
    """A column of what stands at a spot."""
    if spot.kind == "nil":
        return pa.nulls(len(table), kind)
    if pa.types.is_string(kind):
        return _texts(table, spot)
    if spot.kind == "list":
        return _lists(table, spot, kind)
    if spot.kind == "map" and not spot.parts:
        return _empty(len(table), kind)
    if spot.kind == "map":
        return pa.array([_of_map(value) for value in values_at(table, spot)], kind)
    values, missing = _numbers(table, spot, kind)
    return pa.array(values, kind, mask=missing if missing.any() else None)


def _numbers(table: Bytes, spot: Spot, kind: pa.DataType) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Numbers or truth values, and where there is none."""
    values = np.zeros(len(table), dtype=kind.to_pandas_dtype())
    missing = np.ones(len(table), dtype=bool)
    for rows, part, one in variants(table, spot):
        if one.kind != "nil":
            values[rows], missing[rows] = numbers_at(part, one), False
    return values, missing


def _texts(table: Bytes, spot: Spot) -> pa.Array:
    """Texts, or nothing; their bytes, one behind the other, are the column's."""
    content = table[:, spot.start : spot.end]
    lengths = np.full(len(table), content.shape[1], dtype=np.int32)
    present = None
    if spot.kind == "mixed":
        chosen = np.zeros(content.shape, dtype=bool)
        known = np.zeros(len(table), dtype=bool)
        for rows, _, one in variants(table, spot):
            chosen[rows, one.start : one.end] = known[rows] = one.kind == "text"
        content, lengths = content[chosen], chosen.sum(axis=1, dtype=np.int32)
        present = pa.py_buffer(np.packbits(known, bitorder="little"))
    ends = np.append(np.int32(0), lengths.cumsum(dtype=np.int32))
    data = np.ascontiguousarray(content)
    return pa.Array.from_buffers(
        pa.string(), len(table), [present, pa.py_buffer(ends), pa.py_buffer(data)]
    )


def _lists(table: Bytes, spot: Spot, kind: pa.DataType) -> pa.Array:
    """All have as many items."""
    rows, width = len(table), len(spot.parts)
    items = np.zeros((rows, width), dtype=kind.value_type.to_pandas_dtype())
    missing = np.zeros((rows, width), dtype=bool)
    for at, part in enumerate(spot.parts):
        items[:, at], missing[:, at] = _numbers(table, part, kind.value_type)
    mask = missing.ravel() if missing.any() else None
    ends = np.arange(rows + 1, dtype=np.int32) * width
    return pa.ListArray.from_arrays(
        pa.array(ends), pa.array(items.ravel(), kind.value_type, mask=mask), kind
    )


def _empty(rows: int, kind: pa.DataType) -> pa.Array:
    ends = pa.array(np.zeros(rows + 1, dtype=np.int32))
    return pa.MapArray.from_arrays(ends, pa.nulls(0, kind.key_type), pa.nulls(0, kind.item_type))


def _loose(piece: Loose, specs: Sequence[FeatureSpec] | None) -> list[pa.Array]:
    """Columns, and the bytes of those whose values are not as the features say."""
    records, known = piece.records, specs or ()
    exact = np.full(len(records), specs is not None and len(specs) == len(records[0].values))
    columns = [piece.scalars(at) for at in range(len(known))] if exact.all() else []
    for spec, column in zip(known, columns, strict=False):
        exact &= _are(_TYPES[spec.kind], column)
    arrays = [
        pa.array([_of_map(value) for value in piece.cells(name)], kind)
        for name, kind in FIELDS.items()
    ]
    encode, kept = msgspec.msgpack.encode, exact.tolist()
    raw = [None if ok else encode(one) for one, ok in zip(records, kept, strict=True)]
    arrays.append(pa.array(raw, pa.binary()))
    for at, spec in enumerate(known):
        values: Sequence[Any] = columns[at] if columns else [None] * len(records)
        if not exact.all():
            values = [value if ok else None for value, ok in zip(values, kept, strict=True)]
        arrays.append(pa.array(values, KINDS[spec.kind]))
    return arrays


def _are(kind: type, values: Sequence[Scalar]) -> Any:
    """Which values a column of a kind gives back as they are, types included."""
    if set(map(type, values)) <= {kind, type(None)} and kind is not int:
        return True
    return np.array(
        [
            value is None or (type(value) is kind and (kind is not int or value in _WHOLES))
            for value in values
        ],
        dtype=bool,
    )


def _of_map(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value
