"""A stored row as bytes: eight bytes of event time, the names of its values, and the values.

The names stand in every row behind their hash, by which a reader knows them undecoded: rows that were
written alike share one :class:`~trimtab.features.line.Head`, and no schema is kept beside the rows that a
reader could lack. Floats alone follow as doubles, anything else in MessagePack. Rows written before there
were heads are MessagePack as a whole, and are read as well.
"""

from __future__ import annotations

import struct
from math import inf, isfinite

import msgspec
from xxhash import xxh3_64_intdigest

from trimtab.features.line import Head, Line
from trimtab.types import Scalar, StoredRow

_TIME = struct.Struct(">d")
_LEAD = struct.Struct(">dBBHQ")
_MARK = 0xC1  # no value in MessagePack begins with this byte
_DOUBLES, _MIXED = 0, 1
_MOST_HEADS = 4_096
_LONGEST_HEAD_BYTES = 2**16 - 1
_FLOATS = {float}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Scalar]).decode
_decode_names = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_decode_row = msgspec.msgpack.Decoder(tuple[Scalar, ...]).decode

_known: dict[int, tuple[Head, int, struct.Struct | None]] = {}
_written: dict[tuple[str, ...], tuple[bytes, int, int, struct.Struct]] = {}


def pack(row: StoredRow) -> bytes:
    """The row as bytes; the event time leads, so that it can be compared without unpacking."""
    values = row.values
    names, held = tuple(values), list(values.values())
    head, of_doubles, of_mixed, doubles = _written.get(names) or _learn_to_write(names)
    if len(head) > _LONGEST_HEAD_BYTES:
        return _TIME.pack(row.event_time) + _encode(dict(values))
    if set(map(type, held)) == _FLOATS:
        lead = _LEAD.pack(row.event_time, _MARK, _DOUBLES, len(head), of_doubles)
        return lead + head + doubles.pack(*held)
    return _LEAD.pack(row.event_time, _MARK, _MIXED, len(head), of_mixed) + head + _encode(held)


def time_of(blob: bytes) -> float:
    """The event time of a packed row; minus infinity if these bytes are no such row."""
    found: float = _TIME.unpack_from(blob)[0] if len(blob) >= _TIME.size else -inf
    return found if isfinite(found) else -inf


def unpack(blob: bytes) -> StoredRow | None:
    """The row that ``pack`` made, or None if these bytes are no such row."""
    try:
        event_time, mark, kind, length, digest = _LEAD.unpack_from(blob)
        if mark != _MARK:
            return _unpack_plain(blob)
        head, start, doubles = _known.get(digest) or _learn(blob, kind, length, digest)
        row = (
            _decode_row(memoryview(blob)[start:])
            if doubles is None
            else doubles.unpack(blob[start:])
        )
        if len(row) != len(head.names) or not isfinite(event_time):
            return None
        return StoredRow(values=Line(head, row), event_time=event_time)  # type: ignore[arg-type]  # registered as a mapping
    except struct.error:
        return _unpack_plain(blob)  # shorter than a lead, or of another length than its head says
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return None


def _hash_of(kind: int, head: bytes) -> int:
    return xxh3_64_intdigest(head, seed=kind)


def _learn_to_write(names: tuple[str, ...]) -> tuple[bytes, int, int, struct.Struct]:
    head = _encode(names)
    doubles = struct.Struct(f">{len(names)}d")
    found = (head, _hash_of(_DOUBLES, head), _hash_of(_MIXED, head), doubles)
    if len(_written) < _MOST_HEADS:
        _written[names] = found
    return found


def _learn(
    blob: bytes, kind: int, length: int, digest: int
) -> tuple[Head, int, struct.Struct | None]:
    """The head in a row, where its values begin, and how doubles are read; remembered.

    Raises:
        DecodeError: these bytes are none.
    """
    start = _LEAD.size + length
    packed = blob[_LEAD.size : start]
    names = _decode_names(packed)
    sound = kind in {_DOUBLES, _MIXED} and len(set(names)) == len(names)
    if not sound or digest != _hash_of(kind, packed):
        message = "no head of names"
        raise msgspec.DecodeError(message)
    doubles = struct.Struct(f">{len(names)}d") if kind == _DOUBLES else None
    found = (Head(names, floats=doubles is not None), start, doubles)
    if len(_known) < _MOST_HEADS:
        _known[digest] = found
    return found


def _unpack_plain(blob: bytes) -> StoredRow | None:
    """A row that was written before rows had heads, or whose names are too long for one."""
    try:
        (event_time,) = _TIME.unpack_from(blob)
        if not isfinite(event_time):
            return None
        return StoredRow(values=_decode(memoryview(blob)[_TIME.size :]), event_time=event_time)
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return None
