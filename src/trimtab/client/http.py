"""httpx's requests, answers and errors in this package's words."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from trimtab.client.calls import DEADLINE_HEADER, Call, error_of
from trimtab.client.retries import Failure, late
from trimtab.errors import Unavailable

T = TypeVar("T")
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
JSON = "application/json"


def settings(url: str, token: str | None) -> dict[str, Any]:
    """What both of httpx's clients are made with."""
    headers = {"accept": JSON}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return {"base_url": url, "headers": headers}


def arguments(call: Call[T], seconds: float | None) -> dict[str, Any]:
    """One request, as httpx takes it; the server is told how long the client waits."""
    headers = {}
    if call.body:
        headers["content-type"] = JSON
    if seconds is not None:
        headers[DEADLINE_HEADER] = f"{max(seconds * 1e3, 1.0):.0f}"
    return {
        "method": call.method,
        "url": call.path,
        "content": call.body or None,
        "headers": headers,
        "timeout": httpx.Timeout(seconds),
    }


def read(call: Call[T], reply: httpx.Response) -> T | Failure:
    """The answer, or why there is none."""
    if reply.is_success:
        return call.read(reply.content)
    return Failure(
        error_of(reply.status_code, reply.content), reply.status_code, retry_after=_seconds(reply)
    )


def broken(error: httpx.TransportError) -> Failure:
    """A request without an answer."""
    if isinstance(error, httpx.TimeoutException):
        return Failure(late(1), sent=not isinstance(error, _NOT_SENT))
    told = Unavailable(
        f"The server did not answer: {str(error).rstrip('.') or type(error).__name__}.",
        code="unreachable",
        hint="Does it run, and is this its address?",
    )
    return Failure(told, sent=not isinstance(error, _NOT_SENT))


def _seconds(reply: httpx.Response) -> float | None:
    """What ``Retry-After`` asks for: seconds, or a date, which is one of the server's own clock."""
    said = reply.headers.get("retry-after", "")
    if said.isascii() and said.isdecimal() and len(said) < 8:
        return float(said)
    try:
        then = parsedate_to_datetime(said)
        return max((then - parsedate_to_datetime(reply.headers.get("date", ""))).total_seconds(), 0)
    except (TypeError, ValueError):
        return None
