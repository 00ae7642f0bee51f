"""The journal's framing: each record stands alone, so damage costs only what it touches.

A frame is ``magic (4 bytes) | length (u32) | crc32 over length and payload (u32) | payload``,
integers little-endian. The magic begins with ``0xC1``, which neither MessagePack nor UTF-8 ever
uses, so a scan that lost its place seldom takes payload bytes for a frame; the checksum settles
the rest.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import BinaryIO, NamedTuple

MAGIC = b"\xc1TT\x01"
HEADER_BYTES = 12
CHUNK_BYTES = 256 * 1024

_HEADER = Struct("<4sII")
_LENGTH = Struct("<I")


class Frame(NamedTuple):
    """One step of a scan.

    ``payload`` is None where only damage was passed over, ``end`` is the offset behind the frame,
    and ``skipped`` is how many damaged bytes stood before it.
    """

    payload: bytes | None
    end: int
    skipped: int = 0


class Run(NamedTuple):
    """Frames that were found in one read of a file.

    ``ends`` are the offsets behind them, ``end`` that behind all. ``damaged`` has how many damaged bytes
    stood before some of them, by their number; or behind the last, by their count.
    """

    payloads: list[bytes]
    ends: list[int]
    damaged: dict[int, int]
    end: int


def frame(payload: bytes) -> bytes:
    """The frame around a payload."""
    length = len(payload)
    checksum = zlib.crc32(payload, _begun(length))
    return _HEADER.pack(MAGIC, length, checksum) + payload


@lru_cache(4096)
def _begun(length: int) -> int:
    """The checksum as far as the length."""
    return zlib.crc32(_LENGTH.pack(length))


def scan(file: BinaryIO, offset: int, *, final: bool) -> Iterator[Frame]:
    """The frames of a segment behind ``offset``, as :func:`runs` finds them."""
    for run in runs(file, offset, final=final):
        for at, (payload, end) in enumerate(zip(run.payloads, run.ends, strict=True)):
            yield Frame(payload, end, run.damaged.get(at, 0))
        if not run.payloads:
            yield Frame(None, run.end, run.damaged[0])


def runs(file: BinaryIO, offset: int, *, final: bool) -> Iterator[Run]:
    """The frames of a segment behind ``offset``, many at a time.

    Whatever does not check is passed over as damage as soon as a whole frame stands behind it. If
    none does, it may be a frame that is still being written: the scan stops before it, unless the
    segment is ``final``, and then it is damage too.

    Args:
        file: The segment, opened for reading in binary mode.
        offset: Where to begin, an ``end`` of an earlier scan or 0.
        final: Whether the segment's writer is gone.
    """
    buffer, position = b"", offset
    while True:
        unread = len(buffer)
        file.seek(position)
        buffer = file.read(max(CHUNK_BYTES, 2 * unread))
        if len(buffer) <= unread:
            break
        run = _run(buffer, position)
        if run.payloads:
            buffer, position = buffer[run.end - position :], run.end
            yield run
    if final and buffer:
        yield Run([], [], {0: len(buffer)}, position + len(buffer))


def _run(buffer: bytes, start: int) -> Run:
    """The frames in a buffer that begins at the offset ``start``."""
    payloads: list[bytes] = []
    ends: list[int] = []
    damaged: dict[int, int] = {}
    seeds: dict[int, int] = {}
    unpack, crc32, size, at = _HEADER.unpack_from, zlib.crc32, len(buffer), 0
    while at + HEADER_BYTES <= size:
        magic, length, checksum = unpack(buffer, at)
        end = at + HEADER_BYTES + length
        if magic == MAGIC and end <= size:
            seed = seeds.get(length)
            if seed is None:
                seed = seeds[length] = crc32(buffer[at + 4 : at + 8])
            payload = buffer[at + HEADER_BYTES : end]
            if crc32(payload, seed) == checksum:
                payloads.append(payload)
                ends.append(start + end)
                at = end
                continue
        found = _next(buffer, at + 1)
        if found is None:
            break
        damaged[len(payloads)] = found - at
        at = found
    return Run(payloads, ends, damaged, ends[-1] if ends else start)


def _next(buffer: bytes, at: int) -> int | None:
    """Where the first frame stands that checks, from ``at`` on."""
    room = len(buffer) - HEADER_BYTES
    while True:
        at = buffer.find(MAGIC, at)
        if at < 0 or at > room:
            return None
        _, length, checksum = _HEADER.unpack_from(buffer, at)
        behind = at + HEADER_BYTES
        if at + length <= room:
            seed = zlib.crc32(buffer[at + 4 : at + 8])
            if zlib.crc32(buffer[behind : behind + length], seed) == checksum:
                return at
        at += 1
