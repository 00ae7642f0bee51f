"""Requests that ask for another protocol, as Java's client does each time: answered in the one they came in.

Source: RFC 9110, section 7.8: a server may ignore ``Upgrade``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Headers = Sequence[tuple[bytes, bytes]]
_ASKS = frozenset({b"upgrade", b"http2-settings"})


def without_upgrade(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """The head of a request without its wish."""
    line = b"%b %b HTTP/%b\r\n" % (method, url, version.encode())
    return b"%b%b\r\n" % (line, b"".join(b"%b: %b\r\n" % pair for pair in _kept(headers)))


def _kept(headers: Headers) -> Iterator[tuple[bytes, bytes]]:
    for name, value in headers:
        if name == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            yield name, b", ".join(token for token in tokens if token.lower() not in _ASKS)
        elif name not in _ASKS:
            yield name, value
