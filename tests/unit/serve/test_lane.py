"""The same bytes get the same answers from the lane and from the ASGI application."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import uvicorn
from prometheus_client import generate_latest
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from trimtab.config import ServeConfig
from trimtab.errors import InvalidRequest, TrimtabError, Unavailable
from trimtab.serve.app import build_app
from trimtab.serve.connections import Connections
from trimtab.serve.dataplane import DataPlane
from trimtab.serve.lane.heads import LONGEST_HEAD, MOST_HEADS, Head, Heads
from trimtab.serve.lane.protocol import MOST_HEADERS, LaneProtocol, lane, unreadable
from trimtab.serve.line import Line
from trimtab.serve.overload import Turnstile
from trimtab.serve.plain import Alone
from trimtab.serve.reply import Reply, failure
from trimtab.serve.turns import Turns
from trimtab.serve.v2.routes import inference_routes
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock

LIMIT = 100_000


class Echo:
    """Answers with what it was asked, at once or after a turn of the loop."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refused: list[int] = []

    async def predict(
        self,
        model: str,
        body: bytes,
        content_type: str = "",
        deadline: str = "",
        _prediction_id: str | None = None,
    ) -> Reply:
        self.asked.append(model)
        if model.startswith("slow"):
            await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(None, str)
        if model.endswith("broken"):
            raise ValueError(model)
        if model.endswith("busy"):
            return failure(Unavailable("Busy.", hint="Wait."))
        if model.endswith("bad"):
            return failure(InvalidRequest("Bad.", hint="Do better."))
        told = (model, content_type, deadline)
        return Reply(200, b"%b|%b|%b|%b" % (*(text.encode() for text in told), body))

    invocations = outcomes = predict

    async def together(
        self, _: str, sent: Sequence[tuple[bytes, float]], header_length: int | None = None
    ) -> Sequence[Reply | Alone]:
        del header_length
        return [Alone() for _ in sent]

    features_together = tensors_together = together

    async def infer(
        self,
        model: str,
        body: bytes,
        content_type: str,
        version: int | None,
        header_length: int | None,
        deadline: str,
        prediction_id: str | None = None,
    ) -> Reply:
        del prediction_id
        return await self.predict(
            model, body, f"{content_type}|{version}|{header_length}", deadline
        )

    async def features(self, model: str, body: bytes, content_type: str, deadline: str) -> Reply:
        return await self.predict(model, body, f"features|{content_type}", deadline)

    def refuse(self, _: str, error: TrimtabError, __: object = None) -> Reply:
        reply = failure(error)
        self.refused.append(reply.status)
        return reply

    def shed(self, model: str, tensors: bool, reason: str) -> Reply:
        return failure(Unavailable(f"{model} {tensors} {reason}"))

    def answered(self, model: str, status: int) -> None:
        """Nobody asks here what was counted."""


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    yield


class Held(Connections):
    """Connections on a clock that stands still until told; swept when told."""

    def __init__(self, *, quiet_seconds: float = 60.0, **limits: Any) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        config = ServeConfig(**limits)
        self.calls: list[Callable[[], None]] = []
        self.words: list[int] = []
        self._came = asyncio.Event()
        later = lambda _, call: self.calls.append(call)  # noqa: E731
        super().__init__(config, self.clock.monotonic, self.metrics, later, quiet_seconds)

    def hold(self, size: int) -> bool:
        self._came.set()
        return super().hold(size)

    def said(self, status: int) -> None:
        self.words.append(status)
        super().said(status)

    def forget(self) -> None:
        """What came until now is not waited for."""
        self._came.clear()

    async def came(self) -> None:
        """Wait for a piece of a body."""
        await self._came.wait()

    def told(self, line: str) -> bool:
        return line in generate_latest(self.metrics.registry).decode().splitlines()


class Plain(HttpToolsProtocol):
    """uvicorn's connection, with our words for what is no HTTP."""

    def send_400_response(self, msg: str) -> None:
        self.transport.write(unreadable(msg, self.server_state.default_headers))
        self.transport.close()


@asynccontextmanager
async def serving(
    echo: Echo, *, in_lane: bool, held: Connections | None = None
) -> AsyncIterator[int]:
    """A server on a free port; uvicorn's own connections where it is neither in the lane nor held."""
    app = build_app(
        data_plane=cast("DataPlane", echo),
        ready=lambda: True,
        metrics=lambda: b"",
        routes=inference_routes(cast("DataPlane", echo), cast("Any", str), LIMIT),
        max_body_bytes=LIMIT,
        lifespan=lifespan,
    )
    http: Any = Plain
    if in_lane or held is not None:
        turns = Turns()
        turnstile = Turnstile(ServeConfig(), FakeClock().monotonic, Metrics(), turns.soon)
        line = Line(turnstile, turns)
        http = lane(echo, LIMIT, held or Held(), turns, line, taken=in_lane)
    config = uvicorn.Config(app, http=http, log_config=None, access_log=False, loop="none")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        yield listener.getsockname()[1]
    finally:
        await server.shutdown(sockets=[listener])


async def exchange(port: int, pieces: tuple[bytes, ...]) -> bytes:
    """Send the pieces, then the end of the stream; read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces[:-1]:
        writer.write(piece)
        await writer.drain()
        if b"100-continue" in piece:
            await reader.readuntil(b"\r\n\r\n")
    writer.write(pieces[-1])
    try:
        # A server that keeps the connection answers the probe; one that closes ends the stream.
        answer = await reader.read(-1) if CLOSES.search(pieces[-1]) else await until_end(reader)
    except ConnectionResetError:
        answer = b"reset"
    writer.close()
    return re.sub(rb"date: [^\r]+\r\n", b"", answer)


CLOSES = re.compile(rb"connection: close", re.IGNORECASE)


async def until_end(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the answer of the probe, or the end."""
    found = b""
    while not found.endswith(b'{"live":true}'):
        piece = await reader.read(65536)
        if not piece:
            return found
        found += piece
    return found


PROBE = b"GET /v2/health/live HTTP/1.1\r\nhost: h\r\n\r\n"


def post(
    model: str = "m",
    body: bytes = b"{}",
    headers: bytes = b"",
    *,
    length: bytes | None = None,
    version: bytes = b"1.1",
) -> bytes:
    announced = b"content-length: %d\r\n" % len(body) if length is None else length
    line = b"POST /models/%b/predict HTTP/%b\r\nhost: h\r\n" % (model.encode(), version)
    return line + announced + headers + b"\r\n" + body


def infer(headers: bytes = b"", model: str = "m", body: bytes = b"{}") -> bytes:
    sent = post(model, body=body, headers=headers)
    return sent.replace(b"/models/", b"/v2/models/").replace(b"/predict", b"/infer")


CHUNKED = b"transfer-encoding: chunked\r\n"
CASES: dict[str, tuple[bytes, ...]] = {
    "plain": (post() + PROBE,),
    "content type": (post(headers=b"Content-Type: application/json\r\n") + PROBE,),
    "two content types": (post(headers=b"content-type: a/b\r\ncontent-type: c/d\r\n") + PROBE,),
    "deadline": (post(headers=b"Trimtab-Deadline-Ms: 250\r\n") + PROBE,),
    "two deadlines": (
        post(headers=b"trimtab-deadline-ms: 9\r\ntrimtab-deadline-ms: 1\r\n") + PROBE,
    ),
    "no body": (post(body=b"") + PROBE,),
    "no length": (post(body=b"", length=b"") + PROBE,),
    "byte by byte": (*(bytes([b]) for b in post()), PROBE),
    "head, then body": (post(body=b"abcdef")[:-6], b"abcdef" + PROBE),
    "large body in two pieces": (post(body=b"x" * 90_000)[:-9], b"x" * 9 + PROBE),
    "body in two pieces": (post(body=b"abcdef")[:-3], b"def" + PROBE),
    "pipelined": (post("a") + post("b") + post("c") + PROBE,),
    "pipelined behind one that waits": (post("slow") + post("b") + post("slow2") + PROBE,),
    "pipelined with other routes": (post("a") + PROBE.replace(b"live", b"ready") + post() + PROBE,),
    "slow": (post("slow") + PROBE,),
    "infer": (infer() + infer(b"content-type: application/json\r\n") + PROBE,),
    "infer of one that waits": (infer(model="slow") + PROBE,),
    "infer with binary tensors": (infer(b"Inference-Header-Content-Length: 2\r\n") + PROBE,),
    "infer with no length": (infer(b"inference-header-content-length: 2a\r\n") + PROBE,),
    "infer with an empty length": (infer(b"inference-header-content-length:\r\n") + PROBE,),
    "infer with a long length": (
        infer(b"inference-header-content-length: %b\r\n" % (b"1" * 13)) + PROBE,
    ),
    "infer with two lengths": (
        infer(b"inference-header-content-length: 2\r\ninference-header-content-length: x\r\n")
        + PROBE,
    ),
    "infer with a deadline": (infer(b"trimtab-deadline-ms: 9\r\n") + PROBE,),
    "refused": (post("bad") + PROBE,),
    "busy": (post("busy") + PROBE,),
    "broken": (post("broken") + PROBE,),
    "broken later": (post("slow-broken") + PROBE,),
    "close": (post(headers=b"Connection: close\r\n"),),
    "close, with more behind": (post(headers=b"Connection: close\r\n") + post("never"),),
    "close of one that waits": (post("slow", headers=b"connection: close\r\n"),),
    "HTTP/1.0": (post(version=b"1.0"),),
    "HTTP/1.0 that keeps": (post(version=b"1.0", headers=b"connection: keep-alive\r\n"),),
    "expect": (post(headers=b"expect: 100-continue\r\n")[:-2], b"{}" + PROBE),
    "chunked": (post(length=CHUNKED, body=b"2\r\n{}\r\n0\r\n\r\n") + PROBE,),
    "bad chunk size": (post(length=CHUNKED, body=b"zz\r\n{}\r\n0\r\n\r\n"),),
    "length twice": (post(headers=b"content-length: 2\r\n"),),
    "two lengths": (post(headers=b"content-length: 9\r\n"),),
    "length and chunked": (post(headers=CHUNKED, body=b"0\r\n\r\n"),),
    "chunked and length": (post(length=CHUNKED, headers=b"content-length: 2\r\n"),),
    "length with a sign": (post(length=b"content-length: +2\r\n"),),
    "negative length": (post(length=b"content-length: -2\r\n"),),
    "length in hex": (post(length=b"content-length: 0x2\r\n"),),
    "length of 30 digits": (post(length=b"content-length: %b\r\n" % (b"9" * 30)),),
    "two lengths in one": (post(length=b"content-length: 2, 2\r\n"),),
    "space before the colon": (post(length=b"content-length : 2\r\n"),),
    "folded header": (post(headers=b"x-a: 1\r\n folded\r\n"),),
    "lone line feeds": (post().replace(b"\r\n", b"\n"),),
    "null in a header": (post(headers=b"x-a: \x00\r\n"),),
    "not HTTP": (b"\x16\x03\x01 hello\r\n\r\n",),
    "too large": (post(body=b"x" * (LIMIT + 1)) + PROBE,),
    "at the limit": (post(body=b"x" * LIMIT) + PROBE,),
    "large header": (post(headers=b"x-a: %b\r\n" % (b"y" * 70_000)) + PROBE,),
    "query": (post().replace(b"predict", b"predict?a=1") + PROBE,),
    "escaped name": (post("a%20b") + PROBE,),
    "slash in the name": (post("a/b") + PROBE,),
    "two slashes": (post().replace(b"/models", b"//models") + PROBE,),
    "absolute address": (post().replace(b"POST /", b"POST http://h/") + PROBE,),
    "HEAD": (post().replace(b"POST", b"HEAD") + PROBE,),
    "GET": (post().replace(b"POST", b"GET") + PROBE,),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", CASES)
async def test_the_same_bytes_get_the_same_answer(name: str) -> None:
    answers = []
    for in_lane in (False, True):
        echo = Echo()
        async with asyncio.timeout(10), serving(echo, in_lane=in_lane) as port:
            answers.append((await exchange(port, CASES[name]), echo.asked))
    assert answers[0][0]
    assert answers[1] == answers[0]


KNOWN: dict[str, tuple[bytes, ...]] = {
    "once more": (post() + PROBE,),
    "three in one piece": (post() + post() + post("other") + PROBE,),
    "head, then body": (post()[:-2], b"{}" + PROBE),
    "head, then a longer body": (post()[:-2], b"{}more"),
    "body in pieces": (post(body=b"abc")[:-2], b"b", b"c" + PROBE),
    "byte by byte": (*(bytes([b]) for b in post()), PROBE),
    "with a new length": (post(body=b"abcd") + PROBE,),
    "with another header": (post(headers=b"content-type: a/b\r\n") + PROBE,),
    "with one that closes": (post(headers=b"connection: close\r\n") + post(),),
    "behind another route": (PROBE.replace(b"live", b"ready") + post() + PROBE,),
    "behind one that waits": (post("slow") + post() + post("slow"), post() + PROBE),
    "behind one that is queued": (post("slow") + PROBE.replace(b"live", b"ready"), post() + PROBE),
    "behind an empty line": (b"\r\n\r\n" + post() + PROBE,),
    "behind half an empty line": (b"\r", b"\n" + post() + PROBE),
    "behind chunks": (post(length=CHUNKED, body=b"2\r\n{}\r\n0\r\n\r\n"), post() + PROBE),
    "broken": (post("broken"),),
    "as a body": (post(body=post()) + PROBE,),
    "with line feeds alone": (post().replace(b"\r\n", b"\n"),),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", KNOWN)
async def test_a_head_that_was_seen_before_means_the_same(name: str) -> None:
    answers = []
    seen = [post(), post("slow"), post("broken"), post(body=b"abc"), post(body=post())]
    for in_lane in (False, True):
        echo = Echo()
        async with asyncio.timeout(10), serving(echo, in_lane=in_lane) as port:
            for each in seen:
                await exchange(port, (each + PROBE,))
            told = [await exchange(port, KNOWN[name]) for _ in range(2)]
            answers.append((told, echo.asked))
    assert all(answers[0][0])
    assert answers[1] == answers[0]


def test_heads_that_are_not_clearly_one_head_are_not_remembered() -> None:
    heads = Heads(Echo(), LIMIT)
    head = Head(lambda body, _: Echo().predict("m", body), lambda _: Reply(503, b""), 2, True)
    sent = post()[:-2]
    heads.keep(sent, head)
    assert heads.known(sent) is head
    odd = (
        b"",
        b"\r\n\r\n",
        b"\r\n" + sent,
        sent[:-2],
        sent.replace(b"\r\nh", b"\nh"),
        sent[:9] + b"\r" + sent[9:],
    )
    for each in (*odd, post(headers=b"x-a: %b\r\n" % (b"y" * LONGEST_HEAD))[:-2]):
        heads.keep(each, head)
        assert heads.known(each) is None
    for number in range(MOST_HEADS):
        heads.keep(post(f"m{number}")[:-2], head)
    assert sum(heads.known(post(f"m{n}")[:-2]) is head for n in range(MOST_HEADS)) <= MOST_HEADS
    assert heads.known(sent) is None


@pytest.mark.anyio
async def test_a_connection_that_stays_quiet_is_closed() -> None:
    held = Held(quiet_seconds=5.0)
    async with asyncio.timeout(10), serving(Echo(), in_lane=True, held=held) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(post())
            await reader.readuntil(b"{}")
            held.clock.advance(4.0)
            held.sweep()
        held.clock.advance(2.0)
        held.sweep()
        assert await reader.read(-1) == b""
        writer.close()


@pytest.mark.anyio
async def test_a_client_that_goes_half_way_asks_nothing_and_the_next_is_answered() -> None:
    echo = Echo()
    async with asyncio.timeout(10), serving(echo, in_lane=True) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(body=b"abcdef")[:-3])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await exchange(port, (post("next") + PROBE,))).startswith(b"HTTP/1.1 200 OK")
    assert echo.asked == ["next"]


HALF = {
    "nothing": b"",
    "half a head": post()[:30],
    "half a body": post(body=b"abcdef")[:-3],
    "half a body of another route": post(body=b"abcdef").replace(b"predict", b"outcomes")[:-3],
    "half a chunk": post(length=CHUNKED, body=b"9\r\nabc"),
    "half of a second request": post() + post()[:40],
}


@pytest.mark.anyio
@pytest.mark.parametrize("in_lane", [False, True])
@pytest.mark.parametrize("name", HALF)
async def test_a_request_that_does_not_arrive_is_cut_and_others_are_not(
    name: str, in_lane: bool
) -> None:
    held, echo = Held(request_seconds=30.0), Echo()
    async with asyncio.timeout(10), serving(echo, in_lane=in_lane, held=held) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        other, others = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HALF[name])
        others.write(PROBE)
        await others.drain()
        await other.readuntil(b'{"live":true}')
        if name == "half of a second request":
            await reader.readuntil(b"{}")
        held.clock.advance(29.0)
        held.sweep()
        others.write(PROBE)
        await other.readuntil(b'{"live":true}')
        held.clock.advance(2.0)
        held.sweep()
        answer = await reader.read(-1)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"request_timeout"' in answer
        assert held.told('ml_connections_cut_total{reason="slow"} 1.0')
        others.write(PROBE)
        await other.readuntil(b'{"live":true}')
        assert [408] == echo.refused + held.words
        writer.close()
        others.close()


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
GET = PROBE.replace(b"live", b"ready")
ASKING: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {
    # what is sent, and the same without asking
    "a prediction": ((post(headers=H2C) + PROBE,), (post() + PROBE,)),
    "twice": ((post(headers=H2C), post(headers=H2C) + PROBE), (post(), post() + PROBE)),
    "tensors": ((infer(H2C) + PROBE,), (infer() + PROBE,)),
    "a body that comes later": (
        (post(body=b"abcdef", headers=H2C)[:-6], b"abc", b"def" + PROBE),
        (post(body=b"abcdef")[:-6], b"abc", b"def" + PROBE),
    ),
    "byte by byte": (
        (*(bytes([b]) for b in post(headers=H2C)), PROBE),
        (*(bytes([b]) for b in post()), PROBE),
    ),
    "chunks": (
        (post(length=CHUNKED + H2C, body=b"2\r\n{}\r\n0\r\n\r\n") + PROBE,),
        (post(length=CHUNKED, body=b"2\r\n{}\r\n0\r\n\r\n") + PROBE,),
    ),
    "no body": (
        (GET.replace(b"host: h\r\n", b"host: h\r\n" + H2C) + PROBE,),
        (GET + PROBE,),
    ),
    "behind one that waits": (
        (post("slow") + post(headers=H2C) + PROBE,),
        (post("slow") + post() + PROBE,),
    ),
    "a last one": (
        (post(headers=b"connection: close, upgrade\r\nupgrade: websocket\r\n"),),
        (post(headers=b"connection: close\r\n"),),
    ),
    "two lengths": (
        (post(headers=H2C + b"content-length: 9\r\n"),),
        (post(headers=b"content-length: 9\r\n"),),
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("in_lane", [False, True])
@pytest.mark.parametrize("name", ASKING)
async def test_who_asks_for_another_protocol_is_answered_in_this_one(
    name: str, in_lane: bool
) -> None:
    asking, plain = ASKING[name]
    answers = []
    for pieces in (plain, asking, asking):
        echo = Echo()
        async with asyncio.timeout(10), serving(echo, in_lane=in_lane, held=Held()) as port:
            answers.append((await exchange(port, pieces), echo.asked))
    assert answers[0][0]
    assert [answers[0]] * 2 == answers[1:]


@pytest.mark.anyio
@pytest.mark.parametrize("in_lane", [False, True])
async def test_a_server_is_no_proxy(in_lane: bool) -> None:
    async with asyncio.timeout(10), serving(Echo(), in_lane=in_lane, held=Held()) as port:
        answer = await exchange(port, (b"CONNECT h:80 HTTP/1.1\r\nhost: h\r\n\r\n",))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"malformed_http"' in answer


HOSTS: dict[str, tuple[bytes, bytes]] = {
    "none": (post().replace(b"host: h\r\n", b""), b"400"),
    "two": (post(headers=b"Host: other\r\n"), b"400"),
    "the same twice": (post(headers=b"host: h\r\n"), b"400"),
    "none of another route": (PROBE.replace(b"host: h\r\n", b""), b"400"),
    "none by HTTP/1.0": (post(version=b"1.0").replace(b"host: h\r\n", b""), b"200"),
    "two by HTTP/1.0": (post(version=b"1.0", headers=b"host: h\r\n"), b"400"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("in_lane", [False, True])
@pytest.mark.parametrize("name", HOSTS)
async def test_a_request_is_to_one_host(name: str, in_lane: bool) -> None:
    sent, status = HOSTS[name]
    echo = Echo()
    async with asyncio.timeout(10), serving(echo, in_lane=in_lane, held=Held()) as port:
        answer = await exchange(port, (sent + post("never"),))
    assert [b"HTTP/1.1 " + status] == re.findall(rb"HTTP/1.1 \d+", answer)
    assert "never" not in echo.asked


MANY = b"".join(b"x-%d: y\r\n" % i for i in range(MOST_HEADERS))
LONG = b"x-long: %b\r\n" % (b"y" * 1_000)
HEADS: dict[str, tuple[bytes, ...]] = {
    "many headers": (post(headers=MANY),),
    "many headers in pieces": (post(headers=MANY)[:1_000], post(headers=MANY)[1_000:]),
    "many headers without an end": (post(headers=MANY)[:-4],),
    "a long header": (post(headers=b"x: ")[:-4], *[b"y" * 1_000] * 200),
    "long headers": (post()[:-4], *[LONG] * 200),
}


@pytest.mark.anyio
@pytest.mark.parametrize("in_lane", [False, True])
@pytest.mark.parametrize("name", HEADS)
async def test_a_head_that_is_too_large(name: str, in_lane: bool) -> None:
    held = Held()
    async with asyncio.timeout(10), serving(Echo(), in_lane=in_lane, held=held) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        told = asyncio.create_task(reader.readuntil(b"}}"))
        for piece in HEADS[name]:  # each is read before the next is sent, until the answer is there
            writer.write(piece)
            for _ in range(20):
                await asyncio.sleep(0)
            if told.done():
                break
        answer = await told
        writer.close()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"head_too_large"' in answer
    assert held.told('ml_requests_total{code="431",model="unknown"} 1.0')


@pytest.mark.anyio
async def test_a_connection_too_many_is_told_so_and_room_is_given_again() -> None:
    held = Held(max_connections=1)
    async with asyncio.timeout(10), serving(Echo(), in_lane=True, held=held) as port:
        first, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PROBE)
        await first.readuntil(b'{"live":true}')
        second, too_many = await asyncio.open_connection("127.0.0.1", port)
        answer = await second.read(-1)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        assert b'"overloaded"' in answer
        assert held.told('ml_connections_cut_total{reason="limit"} 1.0')
        assert held.told("ml_connections_open 1.0")
        too_many.close()
        writer.write(post(headers=b"connection: close\r\n"))
        await first.read(-1)
        writer.close()
        assert (await exchange(port, (post() + PROBE,))).startswith(b"HTTP/1.1 200 OK")


PIECES = {
    "lane": post(body=b"x" * 100),
    "application": post(body=b"x" * 100).replace(b"predict", b"outcomes"),
    "chunks": post(length=CHUNKED, body=b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("in_lane", [False, True])
@pytest.mark.parametrize("name", PIECES)
async def test_who_brings_more_than_is_held_is_told_to_come_again_and_others_are_answered(
    name: str, in_lane: bool
) -> None:
    held, echo = Held(max_body_bytes=100, max_held_bytes=150), Echo()
    async with asyncio.timeout(10), serving(echo, in_lane=in_lane, held=held) as port:
        first, writer = await asyncio.open_connection("127.0.0.1", port)
        second, other = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):  # what was answered is not held any more
            other.write(PIECES[name][:-10])
            await other.drain()
            await held.came()
            other.write(PIECES[name][-10:] + PROBE)
            await second.readuntil(b'{"live":true}')
            assert held.held == 0
            held.forget()
        writer.write(PIECES[name][:-10])
        await writer.drain()
        await held.came()
        other.write(PIECES[name][:-10])
        answer = await second.read(-1)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        assert b'"code":"overloaded"' in answer
        assert held.told('ml_connections_cut_total{reason="bytes"} 1.0')
        writer.write(PIECES[name][-10:] + PROBE)
        await first.readuntil(b'{"live":true}')
        assert held.held == 0
        assert [503] == echo.refused + held.words
        writer.close()
        other.close()


@pytest.mark.anyio
@pytest.mark.parametrize("asked", [post(), PROBE], ids=["lane", "application"])
async def test_what_is_on_its_way_when_the_worker_stops_is_answered_as_the_last(
    asked: bytes,
) -> None:
    held = Held()
    async with asyncio.timeout(10), serving(Echo(), in_lane=True, held=held) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        idle, other = await asyncio.open_connection("127.0.0.1", port)
        for client, answers in ((writer, reader), (other, idle)):
            client.write(PROBE)
            await answers.readuntil(b'{"live":true}')
        held.calls.clear()
        for connection in held.open:
            cast("LaneProtocol", connection).shutdown()
        writer.write(asked)
        answer = await reader.read(-1)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close\r\n" in answer
        for call in held.calls:
            call()
        assert await idle.read(-1) == b""
        writer.close()
        other.close()
