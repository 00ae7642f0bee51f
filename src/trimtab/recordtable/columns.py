"""What stands at a spot of a table of bytes, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from trimtab.recordtable.layout import (
    HEAD_BYTES,
    LAST_ASCII,
    Bytes,
    Places,
    Spot,
    heads_of,
    spot_of,
)
from trimtab.types import FloatArray


class Variant(NamedTuple):
    """Rows in which a value is written in one way: which they are, their part of the table, and the spot in it."""

    rows: Places | slice
    table: Bytes
    spot: Spot


def variants(table: Bytes, spot: Spot) -> Iterator[Variant]:
    """The rows by how the value at a spot is written."""
    if spot.kind != "mixed":
        yield Variant(slice(None), table, spot)
        return
    part = table[:, spot.start : spot.end]
    heads = heads_of(part[:, :HEAD_BYTES].T)
    for head in np.flatnonzero(np.bincount(heads)).tolist():
        rows = np.flatnonzero(heads == head)
        yield Variant(rows, part[rows], spot_of(head))


def values_at(table: Bytes, spot: Spot) -> list[Any]:
    """The values at a spot, as the decoder would give them."""
    if spot.kind == "mixed":
        return _mixed(table, spot)
    if spot.kind == "nil":
        return [None] * len(table)
    if spot.kind == "text":
        return _texts(bytes_at(table, spot))
    if spot.kind == "list":
        parts = [values_at(table, part) for part in spot.parts]
        return list(zip(*parts, strict=True)) if parts else [()] * len(table)
    if spot.kind == "map":
        return _maps(table, spot)
    found: list[Any] = numbers_at(table, spot).tolist()
    return found


def floats_at(table: Bytes, spot: Spot) -> FloatArray | None:
    """The numbers and truth values at a spot, NaN where there is none; None where some values are texts."""
    if "text" in spot.kinds:
        return None
    found = np.full(len(table), np.nan)
    for rows, part, one in variants(table, spot):
        if one.kind != "nil":
            found[rows] = numbers_at(part, one)
    return found


def numbers_at(table: Bytes, spot: Spot) -> Any:
    """The numbers at a spot of one kind, in an array of their own type; truth values as bools."""
    if spot.kind == "bool":
        return (table[:, spot.start] & 1).astype(bool)
    return bytes_at(table, spot).view(spot.form)[:, 0]


def bytes_at(table: Bytes, spot: Spot) -> Bytes:
    """What stands at a spot, shape ``(rows, bytes)``."""
    return np.ascontiguousarray(table[:, spot.start : spot.end])


def has_high_bytes(table: Bytes, spots: Iterable[Spot]) -> npt.NDArray[np.bool_]:
    """In which rows some text is not ASCII."""
    found = np.zeros(len(table), dtype=bool)
    for spot in spots:
        if spot.parts:
            found |= has_high_bytes(table, spot.parts)
        for rows, part, one in variants(table, spot) if "text" in spot.kinds else ():
            if one.kind == "text" and (high := bytes_at(part, one) > LAST_ASCII).any():
                found[rows] |= high.any(axis=1)
    return found


def _mixed(table: Bytes, spot: Spot) -> list[Any]:
    found = np.full(len(table), None, dtype=object)
    for rows, part, one in variants(table, spot):
        found[rows] = values_at(part, one)
    every: list[Any] = found.tolist()
    return every


def _texts(found: Bytes) -> list[str]:
    first = bytes(found[0]).decode()
    if (found == found[0]).all():
        return [first] * len(found)
    width, data = found.shape[1], found.tobytes()
    starts = range(0, len(data), width)
    if not data.isascii():
        return [data[at : at + width].decode() for at in starts]
    text = data.decode("ascii")
    return [text[at : at + width] for at in starts]


def _maps(table: Bytes, spot: Spot) -> list[dict[Any, Any]]:
    columns = [values_at(table, part) for part in spot.parts]
    if not columns:
        return [{} for _ in range(len(table))]
    keys, values = zip(*columns[::2], strict=True), zip(*columns[1::2], strict=True)
    return [dict(zip(k, v, strict=True)) for k, v in zip(keys, values, strict=True)]
