"""The lane: predictions answered inside the connection, without a task and without ASGI.

It takes only the plain case: ``POST /models/{model}/predict`` over HTTP/1.1 with a Content-Length within
the limit, on a connection that owes no answer. Everything else (other routes, chunked bodies,
``Expect``, queries, escaped names, too large bodies, pipelined requests behind one that waits) takes
uvicorn's own way, so that framing, refusals and order are those of the ASGI server.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass, field
from functools import partial
from types import coroutine
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from trimtab.errors import InvalidRequest
from trimtab.serve.connections import Connections
from trimtab.serve.dataplane import Reply, failure
from trimtab.serve.wire import DEADLINE
from trimtab.telemetry import Event

logger = logging.getLogger(__name__)
Work = Coroutine[Any, Any, Reply]
Handler = Callable[[str, bytes, str, str], Work]
_PATH = re.compile(rb"/models/([A-Za-z0-9_.-]+)/predict")
GRACE_SECONDS = 0.2
"""How long a stopping worker still takes a request on a connection that it has not closed yet."""

DEADLINE_HEADER = DEADLINE.encode()
_NOT_PLAIN = frozenset({b"transfer-encoding", b"content-encoding"})
_TEXT = "text/plain; charset=utf-8"
_TOO_MANY = Reply(503, b"Too many connections.", _TEXT, (("retry-after", "1"),))
_TOO_SLOW = Reply(408, b"The request did not arrive in time.", _TEXT)
_CRASHED = Reply(500, b"Internal Server Error", "text/plain; charset=utf-8")


@dataclass(slots=True)
class Turn:
    """A request that the lane answers; the connection treats it as it does an ASGI cycle."""

    model: str
    content_type: str
    deadline: str
    keep_alive: bool
    body: bytearray = field(default_factory=bytearray)
    more_body: bool = True
    response_complete: bool = False
    disconnected: bool = False
    message_event: asyncio.Event = field(default_factory=asyncio.Event)


class LaneProtocol(HttpToolsProtocol):
    """uvicorn's connection with a lane for predictions; ``handler`` and the limit are set by ``lane``."""

    handler: Handler
    in_lane: bool
    max_body_bytes: int
    door: Connections
    leaving = False
    began: float | None = None
    behind: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Hold the connection, or say that there are too many."""
        super().connection_made(transport)
        self.began = self.door.monotonic()
        if not self.door.take(self):
            self._last_word(_TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self.door.gone(self)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins to arrive."""
        self.began = self.door.monotonic()
        super().on_message_begin()

    def owes_bytes(self) -> bool:
        """Whether answers wait for the client to take them."""
        return self.transport.get_write_buffer_size() > 0

    def cut(self) -> None:
        """End a connection that is too slow."""
        turn: object = self.cycle
        arriving = isinstance(turn, Turn) and turn.more_body
        if self.owes_bytes() or (self._owes() and not arriving):
            self.transport.abort()
        else:
            self._last_word(_TOO_SLOW)

    def shutdown(self) -> None:
        """Answer what is on its way, and say that it is the last; then close."""
        if self._owes():
            super().shutdown()
        else:
            self.leaving = True
            self.door.later(GRACE_SECONDS, self._leave)

    def _leave(self) -> None:
        if not self._owes():
            self.transport.close()

    def _last_word(self, reply: Reply) -> None:
        self._count(reply.status)
        self.transport.write(self._bytes(reply, keep_alive=False))
        self.transport.close()

    def _count(self, status: int) -> None:
        """Count an answer, unless the application does, which finds its body cut off."""
        turn: object = self.cycle
        if not isinstance(turn, RequestResponseCycle) or not turn.more_body:
            self.door.said(status)

    def send_400_response(self, msg: str) -> None:
        """Say why the bytes cannot be read, and close: nobody knows where the next request begins."""
        self._count(400)
        self.transport.write(unreadable(msg, self.server_state.default_headers))
        self.transport.close()

    def on_headers_complete(self) -> None:
        """Take the lane, or uvicorn's way."""
        if self.transport.is_closing():
            return
        turn = self._turn()
        if turn is None:
            super().on_headers_complete()
            if self.leaving and self._owes():
                self.cycle.keep_alive = False
        else:
            self.cycle = turn  # type: ignore[assignment]  # what the base class reads of it is there

    def on_message_complete(self) -> None:
        """Answer, if the request is in the lane."""
        self.began = None
        turn: object = self.cycle
        if not isinstance(turn, Turn):
            super().on_message_complete()
        elif turn.more_body and not turn.disconnected:
            turn.more_body = False
            answering = type(self).handler(
                turn.model, bytes(turn.body), turn.content_type, turn.deadline
            )
            self._run(turn, answering)

    def _turn(self) -> Turn | None:
        found = _PATH.fullmatch(self.url) if self.in_lane else None
        if (
            found is None
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
            or self.parser.should_upgrade()
            or self.expect_100_continue
            or self.flow.write_paused
            or self._owes()
        ):
            return None
        length = content_type = deadline = b""
        for name, value in self.headers:
            if name == b"content-length":
                length = value
            elif name == b"content-type":
                content_type = content_type or value
            elif name == DEADLINE_HEADER:
                deadline = deadline or value
            elif name in _NOT_PLAIN:
                return None
        if not length.isdigit() or int(length) > self.max_body_bytes:
            return None
        keep_alive = self.parser.should_keep_alive() and not self.leaving
        texts = (content_type.decode("latin-1"), deadline.decode("latin-1"))
        return Turn(found[1].decode(), *texts, keep_alive)

    def _owes(self) -> bool:
        before: object = self.cycle  # None before the first request, whatever uvicorn's types say
        return before is not None and not self.cycle.response_complete

    def _run(self, turn: Turn, work: Work) -> None:
        """Drive the work to its end, or to where it waits; a task does the rest then."""
        try:
            waiting = work.send(None)
        except StopIteration as done:
            self._answer(turn, done.value)
        except Exception:
            logger.exception(Event.REQUEST_FAILED)
            self._answer(turn, _CRASHED)
        else:
            task = self.loop.create_task(_rest(work, waiting))
            self.tasks.add(task)  # type: ignore[arg-type]  # only waited for or cancelled
            task.add_done_callback(partial(self._finish, turn))

    def _finish(self, turn: Turn, task: asyncio.Task[Reply]) -> None:
        self.tasks.discard(task)
        if task.cancelled():
            self.transport.close()
        elif (error := task.exception()) is not None:
            logger.error(Event.REQUEST_FAILED, exc_info=error)
            self._answer(turn, _CRASHED)
        else:
            self._answer(turn, task.result())

    def _answer(self, turn: Turn, reply: Reply) -> None:
        turn.response_complete = True
        if turn.disconnected or self.transport.is_closing():
            return
        self.transport.write(self._bytes(reply, keep_alive=turn.keep_alive))
        if not turn.keep_alive or reply is _CRASHED:  # as uvicorn does when the application raises
            self.transport.close()
        self.on_response_complete()

    def _bytes(self, reply: Reply, *, keep_alive: bool) -> bytes:
        headers = [
            *self.server_state.default_headers,
            *((name.encode(), value.encode("latin-1")) for name, value in reply.headers),
            (b"content-length", b"%d" % len(reply.body)),
            (b"content-type", reply.content_type.encode()),
        ]
        if not keep_alive:
            headers.append((b"connection", b"close"))
        lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        return b"%b%b\r\n%b" % (STATUS_LINE[reply.status], lines, reply.body)


def lane(
    handle: Handler, body_limit: int, connections: Connections, *, taken: bool = True
) -> type[LaneProtocol]:
    """A connection class whose lane calls ``handle(model, body, content type, deadline)``.

    Args:
        handle: Answers a request; it may suspend.
        body_limit: Longer bodies are left to the ASGI application, in bytes.
        connections: Holds and cuts connections.
        taken: Whether the lane is used; else all requests are left to the application.
    """

    class InLane(LaneProtocol):
        handler = staticmethod(handle)
        in_lane = taken
        max_body_bytes = body_limit
        door = connections

    return InLane


def unreadable(why: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The answer to what is no HTTP, in the form of every other refusal."""
    hint = "Send HTTP/1.1 with one Content-Length, or chunked, and no other framing."
    reply = failure(InvalidRequest(why, code="malformed_http", hint=hint))
    told = [
        *headers,
        (b"content-type", reply.content_type.encode()),
        (b"content-length", b"%d" % len(reply.body)),
        (b"connection", b"close"),
    ]
    lines = b"".join(b"%b: %b\r\n" % pair for pair in told)
    return b"%b%b\r\n%b" % (STATUS_LINE[reply.status], lines, reply.body)


async def _rest(work: Work, waiting: asyncio.Future[object] | None) -> Reply:
    """Wait for what the work waits for, then go on with it."""
    try:
        if waiting is None:
            await asyncio.sleep(0)
        else:
            waiting._asyncio_future_blocking = False  # noqa: SLF001 - what a task does that takes it over
            await asyncio.wait((waiting,))
        return await _resumed(work)
    finally:
        work.close()


@coroutine
def _resumed(work: Work) -> Generator[Any, Any, Reply]:
    """A coroutine that has begun cannot be awaited again, but it can be delegated to."""
    reply: Reply = yield from work
    return reply
