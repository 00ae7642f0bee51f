"""A stored row as bytes: eight bytes of event time, then the values in MessagePack."""

from __future__ import annotations

import struct
from math import inf, isfinite

import msgspec

from trimtab.types import Scalar, StoredRow

_TIME = struct.Struct(">d")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Scalar]).decode


def pack(row: StoredRow) -> bytes:
    """The row as bytes; the event time leads, so that it can be compared without unpacking."""
    return _TIME.pack(row.event_time) + _encode(row.values)


def time_of(blob: bytes) -> float:
    """The event time of a packed row; minus infinity if these bytes are no such row."""
    found: float = _TIME.unpack_from(blob)[0] if len(blob) >= _TIME.size else -inf
    return found if isfinite(found) else -inf


def unpack(blob: bytes) -> StoredRow | None:
    """The row that ``pack`` made, or None if these bytes are no such row."""
    try:
        (event_time,) = _TIME.unpack_from(blob)
        if not isfinite(event_time):
            return None
        return StoredRow(values=_decode(memoryview(blob)[_TIME.size :]), event_time=event_time)
    except (struct.error, msgspec.DecodeError, TypeError):
        return None
