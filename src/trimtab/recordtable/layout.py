"""How a record's fields are written: which kinds of value each may have, and what a value's first bytes tell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from trimtab.types import PredictionRecord

LAST_ASCII = 0x7F
decode = msgspec.msgpack.Decoder(PredictionRecord).decode
NO_RECORD = (msgspec.MsgspecError, UnicodeDecodeError)
"""What ``decode`` raises where bytes hold no record."""

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

KINDS: dict[str, tuple[str, str]] = {
    "prediction_id": ("text", ""), "request_id": ("text nil", ""), "event_time": ("float", ""),
    "wall_time": ("float", ""), "model": ("text", ""), "version": ("whole", ""), "digest": ("text", ""),
    "epoch": ("whole", ""), "rollout": ("text nil", ""), "arm": ("whole", ""), "share": ("float", ""),
    "unit": ("text", ""), "sticky": ("bool", ""), "values": ("list", "float whole text bool nil"),
    "sources": ("text", ""), "ages_seconds": ("list", "float nil"), "score": ("float", ""),
    "outputs": ("list", "float"), "positive": ("bool nil", ""), "latency_ms": ("float", ""),
    "failed": ("text nil", ""), "shadow": ("bool", ""), "entities": ("map", "text"),
    "shares": ("list", "float"), "withheld": ("list", "whole"), "answered": ("list nil", "float"),
}  # fmt: skip
"""By field: kinds of it, and of its items; what is written in any other way is left to the decoder."""


class Spot(NamedTuple):
    """A value's place: ``data[start:end]`` is its content.

    ``kind`` is ``float``, ``whole``, ``text``, ``bool``, ``nil``, ``list`` or ``map``; ``form`` is how a number
    is written, as NumPy spells it. ``parts`` are a list's items, or a map's keys and values by turns. At a
    ``mixed`` spot each row has a value of its own kind and length, and its content begins with the head that
    tells them; ``form`` names all kinds.
    """

    kind: str
    start: int
    end: int
    form: str = ""
    parts: tuple[Spot, ...] = ()

    @property
    def kinds(self) -> Sequence[str]:
        """What values here are; some rows may have none of the kinds of a mixed spot."""
        return self.form.split() if self.kind == "mixed" else (self.kind,)


_TAGS = {
    **dict.fromkeys(range(0x80), Spot("whole", 0, 1, ">u1")),
    **{0xA0 + length: Spot("text", 1, 1 + length) for length in range(0x20)},
    0xC0: Spot("nil", 0, 1),
    **dict.fromkeys((0xC2, 0xC3), Spot("bool", 0, 1)),
    0xCA: Spot("float", 1, 5, ">f4"),
    0xCB: Spot("float", 1, 9, ">f8"),
    **{0xCC + at: Spot("whole", 1, 1 + (1 << at), f">u{1 << at}") for at in range(4)},
    **{0xD0 + at: Spot("whole", 1, 1 + (1 << at), f">i{1 << at}") for at in range(4)},
    **dict.fromkeys(range(0xE0, 0x100), Spot("whole", 0, 1, ">i1")),
    0xD9: Spot("text", 2, 0),
    0xDA: Spot("text", 3, 0),
}
"""By first byte: what stands behind it; the length of a text may stand there too."""

SIZED = 0xD9, 0xDA
_SIZED_FROM = 0x100, 0x10000
HEAD_BYTES = 3
LONGEST_HEAD = _SIZED_FROM[1]
"""Heads from here on are texts whose length takes two bytes."""

_HEADS = np.arange(0x100, dtype=np.int32)
_HEADS[:0x80], _HEADS[0xC3], _HEADS[0xE0:] = 0, 0xC2, 0xE0


def heads_of(first: Bytes) -> npt.NDArray[np.int32]:
    """What tells how values are written and how long they are, of each.

    Args:
        first: Their first bytes, shape ``(3, values)``.
    """
    tags = first[0]
    found: npt.NDArray[np.int32] = _HEADS.take(tags)
    for tag, start in zip(SIZED, _SIZED_FROM, strict=True):
        rows = np.flatnonzero(tags == tag)
        if len(rows):
            length = first[1, rows].astype(np.int32)
            found[rows] = start + (length if tag == SIZED[0] else length << 8 | first[2, rows])
    return found


@lru_cache(4096)
def spot_of(head: int) -> Spot:
    """A value of some head, counted from its first byte."""
    if head < _SIZED_FROM[0]:
        return _TAGS[head]
    long = head >= _SIZED_FROM[1]
    spot = _TAGS[SIZED[long]]
    return spot._replace(end=spot.start + head - _SIZED_FROM[long])


@lru_cache
def tags_of(kinds: str) -> npt.NDArray[np.bool_]:
    """With which first bytes values of some kinds begin, shape ``(256,)``."""
    allowed = kinds.split()
    return np.array([tag in _TAGS and _TAGS[tag].kind in allowed for tag in range(0x100)])
