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
    """The frames of a segment behind ``offset``.

    Whatever does not check is passed over as damage as soon as a whole frame stands behind it. If
    none does, it may be a frame that is still being written: the scan stops before it, unless the
    segment is ``final``, and then it is damage too.

    Args:
        file: The segment, opened for reading in binary mode.
        offset: Where to begin, an ``end`` of an earlier scan or 0.
        final: Whether the segment's writer is gone.
    """
    buffer, start, position = b"", offset, offset
    while True:
        payload, at = _next(buffer, position - start)
        if payload is not None:
            skipped = start + at - position
            position = start + at + HEADER_BYTES + len(payload)
            yield Frame(payload, position, skipped)
            continue
        unread = start + len(buffer) - position
        file.seek(position)
        buffer, start = file.read(max(CHUNK_BYTES, 2 * unread)), position
        if len(buffer) <= unread:
            break
    if final and buffer:
        yield Frame(None, position + len(buffer), len(buffer))


def _next(buffer: bytes, at: int) -> tuple[bytes | None, int]:
    """The first frame in ``buffer`` from ``at`` on that checks, and where it stands."""
    room = len(buffer) - HEADER_BYTES
    while at <= room:
        magic, length, checksum = _HEADER.unpack_from(buffer, at)
        if magic == MAGIC and at + length <= room:
            payload = buffer[at + HEADER_BYTES : at + HEADER_BYTES + length]
            if zlib.crc32(payload, zlib.crc32(buffer[at + 4 : at + 8])) == checksum:
                return payload, at
        at = buffer.find(MAGIC, at + 1)
        if at < 0:
            break
    return None, 0
