"""One connection to Redis that carries many reads at once, without a coroutine for each.

The client of redis-py lends a connection to one command at a time and spends more time in Python
than the server needs for the answer. Here commands are written as they come, and replies are matched
to them by their order, which is what the protocol promises.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, cast

import hiredis
from redis.connection import parse_url
from redis.exceptions import ResponseError

from trimtab.features.linger import Linger
from trimtab.features.threads import DaemonPool

_GIVEN_UP_RATIO = 0.2
_MOST_BYTES = 4_096
"""A row is far shorter; room for more takes longer to get than the reply takes to read."""
_AT_ONCE = 16
"""Replies that a server sends at once after a pause would hold up all else: so many are taken in one turn."""

Resolve = Callable[[str, int], list[Any]]
Take = Callable[[Any], Any]


class Waiting(Protocol):
    """Who waits for a reply: a future, or something like one."""

    def done(self) -> bool:
        """Whether it is settled, or nobody wants it."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Something came."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """It failed."""
        ...


Part = tuple[Waiting, Take]
"""Who waits, and what makes the result of a command's reply, or raises."""


def lookup(host: str, port: int) -> list[Any]:
    """What the name service says of a host; blocks."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Address:
    """Where a server is, and what it wants to hear first.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, as redis-py takes it.
        resolve: Asks the name service; it may never return.

    Raises:
        ValueError: the URL cannot be used.
    """

    def __init__(self, url: str, resolve: Resolve = lookup) -> None:
        parts: Mapping[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]  # has no types
        self._path: str | None = parts.get("path")
        self._host: str = parts.get("host") or "localhost"
        self._port: int = parts.get("port") or 6379
        self._resolve = resolve
        self._tls = _tls(parts) if url.startswith("rediss://") else None
        user, password, database = parts.get("username"), parts.get("password"), parts.get("db")
        self.hello: list[tuple[str, ...]] = []
        if password:
            self.hello.append(("AUTH", user, password) if user else ("AUTH", password))
        if database:
            self.hello.append(("SELECT", str(database)))
        # A name service that hangs holds these two threads, not those that others wait for.
        self._pool = DaemonPool("names", lambda _: None, threads=2)

    async def connect(self, protocol: Callable[[], Link]) -> Link:
        """A new connection, before the first command.

        Raises:
            OSError: it cannot be made.
        """
        loop = asyncio.get_running_loop()
        if self._path is not None:
            return (await loop.create_unix_connection(protocol, self._path))[1]
        wrong: OSError = ConnectionError(f"{self._host!r} has no address")
        for family, _, _, _, address in await self._addresses():
            try:
                made = await loop.create_connection(
                    protocol,
                    address[0],
                    address[1],
                    family=family,
                    ssl=self._tls,
                    server_hostname=self._host if self._tls else None,
                )
            except OSError as failed:
                wrong = failed
            else:
                return made[1]
        raise wrong

    def close(self) -> None:
        """Let the threads of the name service end."""
        self._pool.close()

    async def _addresses(self) -> list[Any]:
        try:
            return socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        except socket.gaierror:
            asked = self._pool.submit(self._resolve, self._host, self._port)
        try:
            found: list[Any] = await asyncio.wrap_future(asked)
        except asyncio.CancelledError:
            self._pool.give_up(asked)
            raise
        return found


class Link(asyncio.Protocol):
    """A connection: commands in, replies out, in order.

    A reply that is garbage, or a connection that is lost, fails every read under way.
    """

    def __init__(self) -> None:
        self._parser = hiredis.Reader()
        self._waiting: deque[tuple[Sequence[Part], float]] = deque()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._behind = False  # replies that have come are left for the loop's next turn
        self._file = -1  # of the socket, where nothing stands between it and the protocol

    def usable(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it can take a command in this loop."""
        return self._transport is not None and self._loop is loop

    def idle(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it can take a command in this loop, and no reply is to come."""
        return not self._waiting and self._transport is not None and self._loop is loop

    @property
    def pending(self) -> int:
        """Replies not yet come."""
        return len(self._waiting)

    def send(self, command: Sequence[str]) -> asyncio.Future[Any]:
        """Write a command; its reply."""
        reply: asyncio.Future[Any] = self._loop.create_future()
        self.post(command, ((reply, _as_it_is),))
        return reply

    def post(self, command: Sequence[str], parts: Sequence[Part]) -> None:
        """Write a command whose reply is for several."""
        transport = self._transport
        if transport is None:
            _fail(parts, ConnectionError("the connection is closed"))
            return
        packed = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # text is taken too
        if not self._waiting and self._file >= 0:
            packed = self._unsent(packed, transport)
        self._waiting.append((parts, self._loop.time()))
        if packed:
            transport.write(packed)

    def look(self) -> bool:
        """Take what has come before the loop does, and leave an end or a fault to it; whether nothing is waited for."""
        transport = self._transport
        # A closed file may be another's by now.
        if self._file >= 0 and transport is not None and not transport.is_closing():
            try:
                data = os.read(self._file, _MOST_BYTES)
            except OSError:
                return False
            if data:
                self.data_received(data)
        return not self._waiting

    def _unsent(self, data: bytes, transport: asyncio.Transport) -> bytes:
        """What the socket does not take at once of data that nothing else goes before."""
        if transport.is_closing() or transport.get_write_buffer_size():
            return data
        try:
            return data[os.write(self._file, data) :]
        except OSError:
            return data  # full, or broken: the transport finds out which

    def overdue(self, seconds: float) -> bool:
        """Whether the oldest reply is waited for longer, or a fifth of it and nobody wants it now."""
        if not self._waiting:
            return False
        parts, since = self._waiting[0]
        waited = self._loop.time() - since
        if waited <= seconds * _GIVEN_UP_RATIO:
            return False
        return waited > seconds or all(reply.done() for reply, _ in parts)

    def drop(self, reason: str = "the connection was dropped") -> None:
        """Close, and fail what is under way; idempotent."""
        transport, self._transport = self._transport, None
        if transport is not None and not self._loop.is_closed():
            transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for parts, _ in waiting:
            _fail(parts, ConnectionError(reason))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)
        plain = os.name == "posix" and transport.get_extra_info("sslcontext") is None
        opened = transport.get_extra_info("socket") if plain else None
        self._file = -1 if opened is None else opened.fileno()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take what has come, and fail what is under way."""
        while self._behind:
            self._take()
        self.drop(str(exc) if exc else "the server closed the connection")

    def data_received(self, data: bytes) -> None:
        """Match replies to commands."""
        self._parser.feed(data)
        if not self._behind:
            self._take()

    def _take(self) -> None:
        """Take some replies; the rest in the loop's next turn."""
        self._behind = False
        try:
            for _ in range(_AT_ONCE):
                if self._transport is None or (got := self._parser.gets()) is False:
                    return
                _settle(self._waiting.popleft()[0], got)
        except (hiredis.ProtocolError, IndexError) as wrong:
            self.drop(f"the reply is not what Redis says: {wrong}")
            return
        self._behind = True
        self._loop.call_soon(self._take_rest)

    def _take_rest(self) -> None:
        if self._behind:
            self._take()


def _as_it_is(got: Any) -> Any:
    return got


def _fail(parts: Sequence[Part], wrong: BaseException) -> None:
    for reply, _ in parts:
        if not reply.done():
            reply.set_exception(wrong)


def _settle(parts: Sequence[Part], got: object) -> None:
    if isinstance(got, hiredis.ReplyError):
        _fail(parts, ResponseError(str(got)))
        return
    for reply, take in parts:
        if reply.done():
            continue
        try:
            taken = take(got)
        except ResponseError as wrong:
            reply.set_exception(wrong)
        else:
            reply.set_result(taken)


class Links:
    """As many connections to one server as are wanted, made when they are missed.

    A connection whose oldest reply is overdue is dropped, so that a server that hung is not waited
    for on the connection that it forgot.

    Args:
        address: Where.
        wanted: How many there shall be: with two, a second read does not queue behind the first.
        seconds: How long connecting and a reply may take.
    """

    def __init__(self, address: Address, wanted: int, seconds: float) -> None:
        self._address = address
        self._wanted = wanted
        self._seconds = seconds
        self._links: list[Link] = []
        self._posted: Link | None = None
        self._linger = Linger()
        self._connecting: asyncio.Task[Link] | None = None

    def post(self, command: Sequence[str], parts: Sequence[Part]) -> None:
        """Write a command on the best connection, or on one that is made first."""
        loop, link = asyncio.get_running_loop(), self._posted
        if link is None or not link.idle(loop) or len(self._links) < self._wanted:
            self._posted = link = self._best(loop)
        if link is not None:
            link.post(command, parts)
        else:
            made = self._connect(loop)
            made.add_done_callback(partial(_post_when_made, command, parts))

    def linger(self) -> None:
        """Look for the reply to the last command, if it is the only one under way on its connection."""
        link = self._posted
        if link is not None and link.pending == 1:
            self._linger.look(link.look)

    def _best(self, loop: asyncio.AbstractEventLoop) -> Link | None:
        """The connection with the fewest replies to come; None if there is none yet."""
        best: Link | None = None
        for link in self._links:
            if not link.usable(loop) or (link.pending and link.overdue(self._seconds)):
                self._forget(link)
            elif best is None or link.pending < best.pending:
                best = link
        if best is not None and len(self._links) < self._wanted:
            self._connect(loop)
        return best

    async def close(self) -> None:
        """Drop all; idempotent."""
        task, self._connecting = self._connecting, None
        if task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait((task,))
        for link in self._links:
            link.drop()
        self._links = []
        self._address.close()
        await asyncio.sleep(0)  # the transports close their sockets in the loop's next turn

    def _forget(self, link: Link) -> None:
        link.drop("the server does not answer on this connection any more")
        self._links = [other for other in self._links if other is not link]

    def _connect(self, loop: asyncio.AbstractEventLoop) -> asyncio.Task[Link]:
        task = self._connecting
        if task is None or task.done() or task.get_loop() is not loop:
            self._connecting = task = loop.create_task(self._make())
            task.add_done_callback(_look_at)
        return task

    async def _make(self) -> Link:
        async with asyncio.timeout(self._seconds):
            link = await self._address.connect(Link)
            greeted = False
            try:
                for command in self._address.hello:
                    await link.send(command)
                greeted = True
            finally:
                if not greeted:
                    link.drop()
        self._links.append(link)
        return link


def _post_when_made(
    command: Sequence[str], parts: Sequence[Part], made: asyncio.Task[Link]
) -> None:
    if made.cancelled():
        _fail(parts, ConnectionError("the connections were closed"))
    elif (wrong := made.exception()) is not None:
        _fail(parts, wrong)
    elif any(not reply.done() for reply, _ in parts):
        made.result().post(command, parts)


def _look_at(task: asyncio.Task[Link]) -> None:
    """Those who wait for a connection may have gone: asyncio complains unless somebody looks."""
    if not task.cancelled():
        task.exception()


def _tls(parts: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=parts.get("ssl_ca_certs"), capath=parts.get("ssl_ca_path")
    )
    if parts.get("ssl_certfile"):
        context.load_cert_chain(parts["ssl_certfile"], parts.get("ssl_keyfile"))
    if parts.get("ssl_check_hostname") is False:
        context.check_hostname = False
    if parts.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
