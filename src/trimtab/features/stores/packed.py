"""A stored row as bytes: eight bytes of event time, the names of its values, and the values.

The names stand in every row behind their hash, by which a reader knows them undecoded: rows that were
written alike share one :class:`~trimtab.features.line.Head`, and no schema is kept beside the rows that a
reader could lack. Floats alone follow as doubles, anything else in MessagePack. Rows written before there
were heads are MessagePack as a whole, and are read as well. Many rows of the same doubles are read as one
table.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import inf, isfinite

import msgspec
import numpy as np
from xxhash import xxh3_64_intdigest

from trimtab.features.block import Block
from trimtab.features.flight import Rows
from trimtab.features.line import Head, Line
from trimtab.types import Record, Scalar, StoredRow

_TIME = struct.Struct(">d")
_LEAD = struct.Struct(">dBBHQ")
_KIND = slice(8, 20)
"""Of a lead, what all rows with one head have in common."""
_MARK = 0xC1  # no value in MessagePack begins with this byte
_DOUBLES, _MIXED = 0, 1
_MOST_HEADS = 4_096
_LONGEST_HEAD_BYTES = 2**16 - 1
_FLOATS = {float}
_WORTH_A_TABLE = 16
"""From so many rows on, a table takes less time than row by row."""


class Form(Record, frozen=True):
    """How rows with one head are read: where values begin, and for doubles how one row, its time first, and many are."""

    head: Head
    start: int
    doubles: struct.Struct | None = None
    table: np.dtype | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Scalar]).decode
_decode_names = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_decode_row = msgspec.msgpack.Decoder(tuple[Scalar, ...]).decode

_known: dict[bytes, Form] = {}
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
        form = _known.get(blob[_KIND]) or _learn(blob)
        if form is None:
            return _unpack_plain(blob)
        row: tuple[Scalar, ...]
        if form.doubles is not None:
            floats = form.doubles.unpack(blob)
            event_time, row = floats[0], floats[1:]
        else:
            (event_time,) = _TIME.unpack_from(blob)
            row = _decode_row(memoryview(blob)[form.start :])
            if len(row) != len(form.head.names):
                return None
        if not isfinite(event_time):
            return None
        return StoredRow(values=Line(form.head, row), event_time=event_time)  # type: ignore[arg-type]  # registered as a mapping
    except struct.error:
        return _unpack_plain(blob)  # shorter than a lead, or of another length than its head says
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return None


def unpack_all(entities: Sequence[str], blobs: Sequence[bytes | None]) -> Rows:
    """The rows of those entities that have one, in order; ``blobs`` has None for the others."""
    if len(blobs) >= _WORTH_A_TABLE and (block := _table(entities, blobs)) is not None:
        return block
    rows = {}
    for at, blob in enumerate(blobs):
        row = None if blob is None else unpack(blob)
        if row is not None:
            rows[entities[at]] = row
    return rows


def _table(entities: Sequence[str], blobs: Sequence[bytes | None]) -> Block | None:
    """The rows as a table, if all are doubles under one head that is known; None if not."""
    if None in blobs:
        entities = [
            entity for entity, blob in zip(entities, blobs, strict=True) if blob is not None
        ]
        blobs = [blob for blob in blobs if blob is not None]
    first = blobs[0] if blobs else None
    if type(first) is not bytes or len(first) < _LEAD.size:
        return None
    form = _known.get(first[_KIND])
    if form is None or form.table is None:
        return None
    try:
        if set(map(len, blobs)) != {form.table.itemsize}:  # type: ignore[arg-type]  # none is None
            return None
        read = np.frombuffer(b"".join(blobs), form.table)  # type: ignore[arg-type]  # none is None
    except TypeError:
        return None  # a server that is none may send anything
    times: list[float] = read["time"].tolist()
    alike = (read["lead"] == read["lead"][0]).all() and (read["digest"] == read["digest"][0]).all()
    if not (alike and isfinite(sum(times))):
        return None
    return Block(form.head, entities, times, read["values"].astype(float))


def _hash_of(kind: int, head: bytes) -> int:
    return xxh3_64_intdigest(head, seed=kind)


def _learn_to_write(names: tuple[str, ...]) -> tuple[bytes, int, int, struct.Struct]:
    head = _encode(names)
    doubles = struct.Struct(f">{len(names)}d")
    found = (head, _hash_of(_DOUBLES, head), _hash_of(_MIXED, head), doubles)
    if len(_written) < _MOST_HEADS:
        _written[names] = found
    return found


def _learn(blob: bytes) -> Form | None:
    """How to read rows with the head of this one, remembered; None if it has none.

    Raises:
        DecodeError: these bytes are no row.
        error: they are shorter than a lead.
    """
    _, mark, kind, length, digest = _LEAD.unpack_from(blob)
    if mark != _MARK:
        return None
    start = _LEAD.size + length
    packed = blob[_LEAD.size : start]
    names = _decode_names(packed)
    sound = kind in {_DOUBLES, _MIXED} and len(set(names)) == len(names)
    if not sound or digest != _hash_of(kind, packed):
        message = "no head of names"
        raise msgspec.DecodeError(message)
    head = Head(names, floats=kind == _DOUBLES)
    form = _form_of_doubles(head, start) if head.floats else Form(head, start)
    if len(_known) < _MOST_HEADS:
        _known[blob[_KIND]] = form
    return form


def _form_of_doubles(head: Head, start: int) -> Form:
    width = len(head.names)
    table = np.dtype(
        {
            "names": ["time", "lead", "digest", "values"],
            "formats": [">f8", "u4", "u8", (">f8", (width,))],
            "offsets": [0, 8, 12, start],
            "itemsize": start + 8 * width,
        }
    )
    one = struct.Struct(f">d{start - _TIME.size}x{width}d")
    return Form(head, start, one, table)


def _unpack_plain(blob: bytes) -> StoredRow | None:
    """A row that was written before rows had heads, or whose names are too long for one."""
    try:
        (event_time,) = _TIME.unpack_from(blob)
        if not isfinite(event_time):
            return None
        return StoredRow(values=_decode(memoryview(blob)[_TIME.size :]), event_time=event_time)
    except (struct.error, msgspec.DecodeError, UnicodeDecodeError, TypeError):
        return None
