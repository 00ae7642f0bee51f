"""Reading a request's body, within its limit."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from copy import copy

from starlette.requests import ClientDisconnect, Request

from trimtab.errors import InvalidRequest, TrimtabError

LAST_WORD = "trimtab.last_word"
"""Where a request's scope has the error that its client was told when its connection was ended, if any."""

_PLAIN = frozenset({"", "identity"})
_ZIPPED = frozenset({"gzip", "x-gzip", "deflate"})
_ANY_HEADER = 32 + zlib.MAX_WBITS
"""zlib then tells gzip from deflate by itself."""


async def read_body(request: Request, limit: int) -> bytes:
    """The body, unpacked, unless it is then longer than ``limit`` bytes.

    Raises:
        InvalidRequest: too large, packed in another way than gzip or deflate, not unpackable, or the
            client went away half-way.
        TrimtabError: what the client was told, if its connection was ended.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise too_large(limit)
    unpack = None if encoding in _PLAIN else _Unpacking(encoding, limit)
    chunks: list[bytes] = []
    size = 0
    stream: AsyncIterator[bytes] = aiter(request.stream())
    try:
        async for chunk in stream:
            taken = chunk if unpack is None else unpack.take(chunk, limit - size)
            size += len(taken)
            if size > limit:
                raise too_large(limit)
            chunks.append(taken)
    except ClientDisconnect as gone:
        told: TrimtabError | None = request.scope.get(LAST_WORD)
        if told is not None:
            raise copy(told) from gone
        raise InvalidRequest("The connection closed before the body was complete.") from gone
    if unpack is not None:
        unpack.check_end()
    return b"".join(chunks)


class _Unpacking:
    """A packed body, of which no more is unpacked than may be taken.

    Args:
        encoding: As the header says it.
        limit: For the error.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        if encoding not in _ZIPPED:
            raise InvalidRequest(
                f"The content encoding {encoding[:40]!r} is not taken.",
                code="unsupported_media_type",
                hint="Send the body as it is, or packed by gzip or deflate.",
            )
        self._limit = limit
        self._zlib = zlib.decompressobj(_ANY_HEADER)

    def take(self, chunk: bytes, room: int) -> bytes:
        """The next part, unpacked.

        Raises:
            InvalidRequest: it has more than ``room`` bytes, or is not what its header says.
        """
        try:
            found = self._zlib.decompress(chunk, room + 1)
        except zlib.error as wrong:
            raise _unpackable("is not what its header says") from wrong
        if self._zlib.unconsumed_tail:
            raise too_large(self._limit)
        if self._zlib.unused_data:
            raise _unpackable("goes on behind its end")
        return found

    def check_end(self) -> None:
        """Refuse a body that ends too early.

        Raises:
            InvalidRequest: it does.
        """
        if not self._zlib.eof:
            raise _unpackable("is cut off")


def too_large(limit: int) -> InvalidRequest:
    """The error of a body that is longer than that many bytes."""
    return InvalidRequest(
        f"The body is larger than {limit:,} bytes.",
        code="body_too_large",
        hint="Split the request; the limit is [serve] max_body_bytes.",
    )


def _unpackable(why: str) -> InvalidRequest:
    return InvalidRequest(
        f"The packed body {why}.", code="malformed_encoding", hint="Or send it as it is."
    )
