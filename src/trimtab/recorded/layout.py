"""Where in a record's bytes its fields stand, and which bytes another record must share to be alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_FIXED = {
    **dict.fromkeys(range(128), ("whole", 0, 1, 128, ">u1")),
    **dict.fromkeys(range(224, 256), ("whole", 0, 1, 224, ">i1")),
    0xC0: ("nil", 0, 1, 0xFF, ""),
    0xC2: ("bool", 0, 1, 0xFE, ""),
    0xC3: ("bool", 0, 1, 0xFE, ""),
    0xCA: ("float", 1, 5, 0, ">f4"),
    0xCB: ("float", 1, 9, 0, ">f8"),
    **{0xCC + at: ("whole", 1, 1 + (1 << at), 0, f">u{1 << at}") for at in range(4)},
    **{0xD0 + at: ("whole", 1, 1 + (1 << at), 0, f">i{1 << at}") for at in range(4)},
}
"""By first byte: kind, begin and end of the content behind it, which bits of it are in common, and how it is written."""

_SIZED = {
    **{0xA0 + length: ("text", 0, length) for length in range(0x20)},
    **{0xD9 + at: ("text", 1 << at, 0) for at in range(3)},
    **{0x90 + length: ("list", 0, length) for length in range(0x10)},
    **{0xDC + at: ("list", 2 << at, 0) for at in range(2)},
    **{0x80 + length: ("map", 0, length) for length in range(0x10)},
    **{0xDE + at: ("map", 2 << at, 0) for at in range(2)},
}
"""By first byte: kind, and the length, or how many bytes tell it."""

_KINDS = {
    "prediction_id": "text", "request_id": "text nil", "event_time": "float", "wall_time": "float",
    "model": "text", "version": "whole", "digest": "text", "epoch": "whole", "rollout": "text nil",
    "arm": "whole", "share": "float", "unit": "text", "sticky": "bool",
    "values": "list of float whole text bool nil", "sources": "text", "ages_seconds": "list of float nil",
    "score": "float", "outputs": "list of float", "positive": "bool nil", "latency_ms": "float",
    "failed": "text nil", "shadow": "bool", "entities": "map of text", "shares": "list of float",
    "withheld": "list of whole", "answered": "list of float nil",
}  # fmt: skip
"""How each field of a record is written; of any other way the decoder judges."""


_DEEPEST = 2


class Spot(NamedTuple):
    """A value's place: ``data[start:end]`` is its content.

    ``kind`` is ``float``, ``whole``, ``text``, ``bool``, ``nil``, ``list`` or ``map``; ``form`` is how a number
    is written, as NumPy spells it. ``parts`` are a list's items, or a map's keys and values by turns.
    """

    kind: str
    start: int
    end: int
    form: str = ""
    parts: tuple[Spot, ...] = ()


class Layout(NamedTuple):
    """What records have in common: ``byte & mask == want`` for each of their bytes, and where fields are.

    Types and lengths are in common, and that texts are ASCII; what differs are contents. A field that is
    not there was written before there was such a field.
    """

    mask: Bytes
    want: Bytes
    fields: dict[str, Spot]


class _Unread(Exception):
    """Not the bytes of a record, or of one that is seldom."""


def layout_of(payload: bytes) -> Layout | None:
    """The layout of an encoded :class:`~trimtab.types.PredictionRecord`, None if it is left to the decoder."""
    mask = bytearray(b"\xff" * len(payload))
    try:
        spot = _spot(payload, 0, mask)
    except (_Unread, IndexError):
        return None
    if spot.kind != "list" or spot.end != len(payload) or len(spot.parts) > len(_KINDS):
        return None
    fields = dict(zip(_KINDS, spot.parts, strict=False))
    if not all(_fits(found, _KINDS[name]) for name, found in fields.items()):
        return None
    kept = np.frombuffer(bytes(mask), dtype=np.uint8)
    want = np.frombuffer(payload, dtype=np.uint8) & kept
    want[kept == 0x80] = 0  # ASCII, whatever this record has
    return Layout(kept, want, fields)


def _fits(spot: Spot, kinds: str) -> bool:
    outer, _, inner = kinds.partition(" of ")
    if not inner or spot.kind == "nil":
        return spot.kind in kinds.split()
    return spot.kind == outer and {part.kind for part in spot.parts} <= set(inner.split())


def _spot(data: bytes, at: int, mask: bytearray, depth: int = 0) -> Spot:
    """The value that begins at a place; ``mask`` is cleared where contents stand."""
    tag = data[at]
    if tag in _FIXED:
        kind, begin, behind, kept, form = _FIXED[tag]
        mask[at + begin : at + behind] = bytes([kept]) * (behind - begin)
        return Spot(kind, at + begin, at + behind, form)
    kind, size, length = _SIZED.get(tag, ("", 0, 0))
    start = at + 1 + size
    if size:
        length = int.from_bytes(data[at + 1 : start], "big")
    if kind == "text" and start + length <= len(data):
        mask[start : start + length] = bytes([0x80]) * length
        return Spot(kind, start, start + length)
    if kind in ("list", "map") and depth < _DEEPEST:
        count = 2 * length if kind == "map" else length
        parts = tuple(_parts(data, start, count, mask, depth + 1))
        return Spot(kind, start, parts[-1].end if parts else start, parts=parts)
    raise _Unread


def _parts(data: bytes, at: int, count: int, mask: bytearray, depth: int) -> Iterator[Spot]:
    for _ in range(count):
        spot = _spot(data, at, mask, depth)
        at = spot.end
        yield spot
