"""The lane: predictions answered inside the connection, without a task and without ASGI.

It takes only the plain case: ``POST /models/{model}/predict``, ``/models/{model}/features`` or
``/v2/models/{model}/infer`` over HTTP/1.1 with a Content-Length within the limit, on a connection that owes no answer. Everything else (other routes, chunked bodies,
``Expect``, queries, escaped names, too large bodies, pipelined requests behind one that waits) takes
uvicorn's own way, so that framing, refusals and order are those of the ASGI server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from trimtab.errors import InvalidRequest, TrimtabError, Unavailable
from trimtab.serve.body import LAST_WORD
from trimtab.serve.connections import Connections
from trimtab.serve.lane.driving import Broken, Driven
from trimtab.serve.lane.gather import Gatherer
from trimtab.serve.lane.heads import END, Head, Heads
from trimtab.serve.lane.replies import Replies
from trimtab.serve.lane.routes import Predictions
from trimtab.serve.lane.upgrades import without_upgrade
from trimtab.serve.line import Line
from trimtab.serve.overload import AGAIN
from trimtab.serve.reply import Reply, failure
from trimtab.serve.status import status_of
from trimtab.serve.turns import Turns

GRACE_SECONDS = 0.2
"""How long a stopping worker still takes a request on a connection that it has not closed yet."""

MOST_HEADERS = 256
LARGEST_HEAD = 65_536
"""Of a head that arrives in pieces, in bytes: behind the first piece, and before the one that ends it."""

_TOO_MANY = Unavailable("Too many connections.", code="overloaded", hint=AGAIN)
_TOO_SLOW = InvalidRequest(
    "The request did not arrive in time.", code="request_timeout", hint=AGAIN
)
_TOO_LARGE = InvalidRequest(
    "The request's head is too large.",
    code="head_too_large",
    hint=f"Send at most {MOST_HEADERS} headers and {LARGEST_HEAD:,} bytes.",
)
_TOO_MUCH = Unavailable(
    "More bytes of requests are held than there is room for.", code="overloaded", hint=AGAIN
)
_CRASHED = Reply(500, b"Internal Server Error", "text/plain; charset=utf-8")


class _TooLarge(Exception):
    """A head with too many headers."""


class _Hosts(Exception):
    """A request to nobody, or to several."""


class _Nobody:
    """In the place of an event that nobody waits for."""

    def set(self) -> None:
        return


_NOBODY = _Nobody()


class Turn:
    """A request that the lane answers; the connection treats it as it does an ASGI cycle.

    Args:
        head: What was asked.
        keep_alive: Whether the connection stays open behind the answer.
        parsed: False where its head was known, so that its body does not go through the parser either.
        connection: Where it came.
    """

    arrived = 0.0
    body: bytearray | bytes = b""
    more_body = True
    response_complete = False
    disconnected = False
    message_event = _NOBODY

    def __init__(
        self, head: Head, keep_alive: bool, parsed: bool, connection: LaneProtocol
    ) -> None:
        self.head = head
        self.keep_alive = keep_alive
        self.parsed = parsed
        self.connection = connection

    def answer(self) -> None:
        """Begin to answer it, with all others that can be answered together."""
        if self.head.plain is None:
            self.ask()
        else:
            self.connection.gatherer.take(self.head.plain, self)

    def refuse(self, reason: str) -> None:
        """Send it away unread."""
        self.connection.refuse(self, reason)

    def ask(self, prediction_id: str | None = None) -> None:
        """Answer it alone."""
        connection, work = self.connection, self.head.ask(bytes(self.body), prediction_id)
        driven = Driven(work, connection.turns, connection.tasks, self.end)
        connection.line.begin(self.arrived, driven.go_on)

    def end(self, reply: Reply | Broken) -> None:
        """Give the answer."""
        if isinstance(reply, Reply):
            self.connection.answer(self, reply)
        elif reply is Broken.RAISED:
            self.connection.answer(self, _CRASHED, closes=True)  # as uvicorn does
        else:
            self.connection.transport.close()


class LaneProtocol(HttpToolsProtocol):
    """uvicorn's connection with a lane for predictions; what it is made of is set by ``lane``."""

    heads: Heads
    in_lane: bool
    door: Connections
    replies: Replies
    turns: Turns
    line: Line
    gatherer: Gatherer
    leaving = False
    began: float | None = None
    behind: float | None = None
    quiet: float | None = None
    _held = 0  # bytes of bodies that came in pieces and are not answered
    _between = True  # the parser stands at the beginning of a message
    _turn: Turn | None = None  # the last request that came, if it is in the lane
    _heading = False  # a head is arriving
    _head_bytes = 0  # of it, in pieces that held nothing else
    _sent = b""  # the head of the message that begins in what is parsed now

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Hold the connection, or say that there are too many."""
        super().connection_made(transport)
        self.began = self.door.monotonic()
        if not self.door.take(self):
            self._last_word(_TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self.door.gone(self)
        self._release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a request whose head is known; parse all others."""
        self.quiet = None
        turn = self._turn
        if turn is not None and turn.more_body and not turn.parsed:
            self._take_body(turn, data)
            return
        self._sent = b""
        if self._between:
            end = data.find(END) + len(END)
            head = self.heads.known(data[:end])
            if head is not None and self._free():
                self._known(head, data, end)
                return
            self._sent = data[:end]
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        """Read bytes, up to what is no HTTP or too large a head."""
        heading = self._heading
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as asked:
            self._stay(data[asked.args[0] :])
        except httptools.HttpParserError as wrong:
            if isinstance(wrong.__context__, _TooLarge):
                self._last_word(_TOO_LARGE)
            elif isinstance(wrong.__context__, _Hosts):
                self.send_400_response("A request of HTTP/1.1 names one Host.")
            else:
                self.send_400_response("Invalid HTTP request received.")
        else:
            self._head_bytes = self._head_bytes + len(data) if heading and self._heading else 0
            if self._head_bytes > LARGEST_HEAD:
                self._last_word(_TOO_LARGE)

    def _stay(self, rest: bytes) -> None:
        """Read a request again as if it had not asked for another protocol."""
        parser, self.parser = self.parser, httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        method = parser.get_method()
        if method == b"CONNECT":
            self.send_400_response("This server is no proxy.")
        else:
            version = parser.get_http_version()
            self._parse(without_upgrade(method, self.url, version, self.headers) + rest)

    def _known(self, head: Head, data: bytes, end: int) -> None:
        """Answer a request whose head is known, or wait for its body."""
        turn = Turn(head, head.keep_alive and not self.leaving, False, self)
        self.cycle = self._turn = turn  # type: ignore[assignment]  # what the base class reads of it is there
        if len(data) - end == head.length:
            self._complete(turn, data[end:])
        else:
            self.began = self.door.monotonic()
            turn.body = bytearray()
            self._take_body(turn, data[end:])

    def _take_body(self, turn: Turn, data: bytes) -> None:
        missing = turn.head.length - len(turn.body)
        turn.body += data[:missing]
        if len(data) < missing:
            self._hold(len(data))
        else:
            self._complete(turn, bytes(turn.body))
            if len(data) > missing:  # the next request, or what is none
                self.data_received(data[missing:])

    def on_message_begin(self) -> None:
        """A request begins to arrive."""
        self._between = False
        self._heading = True
        self.began = self.door.monotonic()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; no more of them than anybody needs."""
        if len(self.headers) >= MOST_HEADERS:
            raise _TooLarge
        super().on_header(name, value)

    def owes_bytes(self) -> bool:
        """Whether answers wait for the client to take them."""
        return self.transport.get_write_buffer_size() > 0

    def cut(self) -> None:
        """End a connection that is too slow."""
        if self._owes() and not self.cycle.more_body:
            self.transport.abort()
        else:
            self._end_with(_TOO_SLOW)

    def shutdown(self) -> None:
        """Answer what is on its way, and say that it is the last; then close."""
        if self._owes():
            super().shutdown()
        else:
            self.leaving = True
            self.door.later(GRACE_SECONDS, self.leave)

    def leave(self) -> None:
        """Close, unless an answer is owed."""
        if not self._owes():
            self.transport.close()

    def _hold(self, size: int) -> None:
        """Hold a piece of a body, or end the connection that brought it."""
        if self.transport.is_closing():
            return
        self._held += size
        if not self.door.hold(size):
            self._end_with(_TOO_MUCH)

    def _end_with(self, error: TrimtabError) -> None:
        """End the connection; with a word, unless that would stand in the middle of an answer."""
        cycle: object = self.cycle
        begun = isinstance(cycle, RequestResponseCycle) and cycle.response_started
        if (begun and self._owes()) or self.pipeline or self.owes_bytes():
            self.transport.abort()
        else:
            self._last_word(error)

    def _release(self) -> None:
        self.door.release(self._held)
        self._held = 0

    def _last_word(self, error: TrimtabError) -> None:
        self._count(error)
        reply, default = failure(error), self.server_state.default_headers
        self.transport.write(self.replies.bytes_of(reply, default, keep_alive=False))
        self.transport.close()

    def _count(self, error: TrimtabError) -> None:
        """Count an answer, unless the application does, which finds its body cut off: it is told with what word."""
        turn: object = self.cycle
        if isinstance(turn, RequestResponseCycle) and turn.more_body:
            cast("dict[str, object]", turn.scope)[LAST_WORD] = error
        else:
            self.door.said(status_of(error))

    def send_400_response(self, msg: str) -> None:
        """Say why the bytes cannot be read, and close: nobody knows where the next request begins."""
        self._count(InvalidRequest(msg, code="malformed_http"))
        self.transport.write(unreadable(msg, self.server_state.default_headers))
        self.transport.close()

    def on_headers_complete(self) -> None:
        """Take the lane, or uvicorn's way."""
        self._heading = False
        if self.transport.is_closing() or self.parser.should_upgrade():
            return
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise _Hosts  # RFC 9112, section 3.2
        sent, self._sent = self._sent, b""
        head = self._head()
        if head is None:
            self._turn = None
            super().on_headers_complete()
            if self.leaving and self._owes():
                self.cycle.keep_alive = False
        else:
            self.heads.keep(sent, head)
            self._turn = Turn(head, head.keep_alive and not self.leaving, True, self)
            self._turn.body = bytearray()
            self.cycle = self._turn  # type: ignore[assignment]  # as above

    def on_body(self, body: bytes) -> None:
        """A piece of a body; one in the lane is read to its end, which is within the limit."""
        turn = self._turn
        if not self.cycle.response_complete:
            self._hold(len(body))
        if turn is None:
            super().on_body(body)
        elif turn.more_body:
            turn.body += body

    def on_message_complete(self) -> None:
        """Answer, if the request is in the lane."""
        if self.parser.should_upgrade():  # it is read again
            return
        self.began = None
        self._between = self.parser.should_keep_alive()
        turn = self._turn
        if turn is None:
            super().on_message_complete()
        elif turn.more_body and not turn.disconnected:
            self._complete(turn, bytes(turn.body))

    def _complete(self, turn: Turn, body: bytes) -> None:
        self.began = None
        turn.body = body
        turn.more_body = False
        self.line.join(turn)

    def refuse(self, turn: Turn, reason: str) -> None:
        """Refuse a request unread."""
        reply, default = turn.head.refuse(reason), self.server_state.default_headers
        self._end(turn, self.replies.again(reply, default, keep_alive=turn.keep_alive))

    def _head(self) -> Head | None:
        """The head that has just been parsed, if the lane takes it now."""
        if (
            not self.in_lane
            or self.parser.get_method() != b"POST"
            or self.parser.get_http_version() != "1.1"
            or not self._free()
        ):
            return None
        return self.heads.read(self.url, self.headers, keep_alive=self.parser.should_keep_alive())

    def _free(self) -> bool:
        """Whether a request may be answered as soon as it is there."""
        return not (self._owes() or self.flow.write_paused or self.transport.is_closing())

    def _owes(self) -> bool:
        before: object = self.cycle  # None before the first request, whatever uvicorn's types say
        return before is not None and not self.cycle.response_complete

    def answer(self, turn: Turn, reply: Reply, *, closes: bool = False) -> None:
        """Send the answer to a request."""
        default = self.server_state.default_headers
        told = self.replies.bytes_of(reply, default, keep_alive=turn.keep_alive)
        self._end(turn, told, closes=closes)

    def _end(self, turn: Turn, told: bytes, *, closes: bool = False) -> None:
        """Send a request's whole reply."""
        turn.response_complete = True
        if turn.disconnected or self.transport.is_closing():
            return
        self.transport.write(told)
        if closes or not turn.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on with what is queued; a sweep closes connections that stay quiet, not a timer for each."""
        self.server_state.total_requests += 1
        if self._held:
            self._release()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self.began is None:  # no further request is arriving
            self.quiet = self.door.monotonic()


def lane(
    predictions: Predictions,
    body_limit: int,
    connections: Connections,
    turns: Turns,
    line: Line,
    *,
    taken: bool = True,
) -> type[LaneProtocol]:
    """A connection class with a lane.

    Args:
        predictions: Answers requests; it may suspend.
        body_limit: Longer bodies are left to the ASGI application, in bytes.
        connections: Holds and cuts connections.
        turns: What the requests of a turn share.
        line: Where they wait for their answer.
        taken: Whether the lane is used; else all requests are left to the application.
    """

    class InLane(LaneProtocol):
        heads = Heads(predictions, body_limit)
        in_lane = taken
        door = connections
        replies = Replies()

    InLane.turns, InLane.line = turns, line
    InLane.gatherer = Gatherer(turns)

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
