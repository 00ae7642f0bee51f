"""Records as the columns of a part: those that look alike from their bytes, the others value by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from trimtab.record.table import FIELDS, KINDS
from trimtab.recorded import Alike, Loose, Places, Recorded, Spot
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
    records: Recorded, places: Places, specs: Sequence[FeatureSpec] | None, schema: pa.Schema
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
        some = piece.where(rows)
        arrays = _alike(some, specs) if isinstance(some, Alike) else None
        if arrays is None:
            arrays = _loose(Loose([some.record(row) for row in range(len(some))]), specs)
        arrays.insert(len(FIELDS), pa.array(places[at]))
        tables.append(pa.Table.from_arrays(arrays, schema=schema))
        order.append(at)
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables).take(np.argsort(np.concatenate(order))).combine_chunks()


def _alike(piece: Alike, specs: Sequence[FeatureSpec] | None) -> list[pa.Array] | None:
    """Own columns, bytes, features; None if they are to be looked at one by one."""
    values = piece.layout.fields["values"].parts
    if any(spot.form == ">u8" and (piece.numbers_at(spot) > _WHOLES[-1]).any() for spot in values):
        return None
    exact = (
        specs is not None
        and len(specs) == len(values)
        and all(
            spot.kind in ("nil", _SPOTS[spec.kind])
            for spec, spot in zip(specs, values, strict=True)
        )
    )
    arrays = [_own(piece, name, kind) for name, kind in FIELDS.items()]
    raw = pa.nulls(len(piece), pa.binary()) if exact else pa.array(piece.payloads, pa.binary())
    arrays.append(raw)
    for at, spec in enumerate(specs or ()):
        kind = KINDS[spec.kind]
        arrays.append(_array(piece, values[at], kind) if exact else pa.nulls(len(piece), kind))
    return arrays


def _own(piece: Alike, name: str, kind: pa.DataType) -> pa.Array:
    spot = piece.layout.fields.get(name)
    if spot is None:  # written before there was such a field
        return pa.array([_of_map(value) for value in piece.cells(name)], kind)
    return _array(piece, spot, kind)


def _array(piece: Alike, spot: Spot, kind: pa.DataType) -> pa.Array:
    """A column of what stands at a place."""
    if spot.kind == "nil":
        return pa.nulls(len(piece), kind)
    if spot.kind == "text":
        return _texts(piece, spot)
    if spot.kind == "list":
        return _lists(piece, spot, kind)
    if spot.kind == "map" and not spot.parts:
        return _empty(len(piece), kind)
    if spot.kind == "map":
        return pa.array([_of_map(value) for value in piece.of(spot)], kind)
    return pa.array(piece.numbers_at(spot).astype(kind.to_pandas_dtype()))


def _texts(piece: Alike, spot: Spot) -> pa.Array:
    """All are as long, so their bytes are the column's."""
    ends = np.arange(len(piece) + 1, dtype=np.int32) * (spot.end - spot.start)
    data = piece.bytes_at(spot)
    return pa.Array.from_buffers(
        pa.string(), len(piece), [None, pa.py_buffer(ends), pa.py_buffer(data)]
    )


def _lists(piece: Alike, spot: Spot, kind: pa.DataType) -> pa.Array:
    """All have as many items, and the same ones are missing."""
    rows, width = len(piece), len(spot.parts)
    items = np.empty((rows, width), dtype=kind.value_type.to_pandas_dtype())
    missing = np.array([part.kind == "nil" for part in spot.parts], dtype=bool)
    for at, part in enumerate(spot.parts):
        items[:, at] = 0 if missing[at] else piece.numbers_at(part)
    mask = np.tile(missing, rows) if missing.any() else None
    ends = np.arange(rows + 1, dtype=np.int32) * width
    return pa.ListArray.from_arrays(
        pa.array(ends), pa.array(items.ravel(), kind.value_type, mask=mask), kind
    )


def _empty(rows: int, kind: pa.DataType) -> pa.Array:
    ends = pa.array(np.zeros(rows + 1, dtype=np.int32))
    return pa.MapArray.from_arrays(ends, pa.nulls(0, kind.key_type), pa.nulls(0, kind.item_type))


def _loose(piece: Loose, specs: Sequence[FeatureSpec] | None) -> list[pa.Array]:
    """Own columns, bytes of those whose values are not as the features say, features of the others."""
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
