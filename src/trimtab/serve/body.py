"""Reading a request's body, within its limit."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from trimtab.errors import InvalidRequest


async def read_body(request: Request, limit: int) -> bytes:
    """The body, unless it is longer than ``limit`` bytes.

    Raises:
        InvalidRequest: too large, or the client went away half-way.
    """
    too_large = InvalidRequest(
        f"The body is larger than {limit:,} bytes.",
        code="body_too_large",
        hint="Split the request; the limit is [serve] max_body_bytes.",
    )
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    stream: AsyncIterator[bytes] = aiter(request.stream())
    try:
        async for chunk in stream:
            size += len(chunk)
            if size > limit:
                raise too_large
            chunks.append(chunk)
    except ClientDisconnect as gone:
        raise InvalidRequest("The connection closed before the body was complete.") from gone
    return b"".join(chunks)
