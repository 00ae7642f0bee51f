"""Replies as bytes: of the usual ones the head is made once a second, when its date changes."""

from __future__ import annotations

from collections.abc import Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from trimtab.serve.reply import Reply

Headers = Sequence[tuple[bytes, bytes]]


class Replies:
    """Writes replies as the ASGI server does."""

    def __init__(self) -> None:
        self._default: Headers = ()
        self._made: dict[tuple[int, str, bool], tuple[bytes, bytes]] = {}
        self._whole: dict[tuple[Reply, bool], bytes] = {}

    def again(self, reply: Reply, default: Headers, *, keep_alive: bool) -> bytes:
        """A whole reply that is sent many times in a second, made once in each."""
        if default is not self._default:
            self._renew(default)
        whole = self._whole.get((reply, keep_alive))
        if whole is None:
            whole = self.bytes_of(reply, default, keep_alive=keep_alive)
            self._whole[reply, keep_alive] = whole
        return whole

    def bytes_of(self, reply: Reply, default: Headers, *, keep_alive: bool) -> bytes:
        """A whole reply.

        Args:
            reply: Its status, body and headers.
            default: The server's own headers; another object when they have changed.
            keep_alive: Whether the connection stays open behind it.
        """
        if reply.headers:
            before, behind = _around(reply, default, keep_alive=keep_alive)
            return b"%b%d%b%b" % (before, len(reply.body), behind, reply.body)
        if default is not self._default:
            self._renew(default)
        key = (reply.status, reply.content_type, keep_alive)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = _around(reply, default, keep_alive=keep_alive)
        return b"%b%d%b%b" % (made[0], len(reply.body), made[1], reply.body)

    def _renew(self, default: Headers) -> None:
        """Forget what bears an older date."""
        self._default = default
        self._made.clear()
        self._whole.clear()


def _around(reply: Reply, default: Headers, *, keep_alive: bool) -> tuple[bytes, bytes]:
    """What stands before and behind the length of the body."""
    before = STATUS_LINE[reply.status] + _lines(
        [
            *default,
            *((name.encode(), value.encode("latin-1")) for name, value in reply.headers),
        ]
    )
    behind = [(b"content-type", reply.content_type.encode())]
    if not keep_alive:
        behind.append((b"connection", b"close"))
    return before + b"content-length: ", b"\r\n" + _lines(behind) + b"\r\n"


def _lines(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])
