"""Replies of Redis are taken in their order, and many at once do not hold up the loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from trimtab.features.stores.redis_link import Link

REPLIES = 100


class Socket(asyncio.Transport):
    """Takes what is written."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody reads it."""

    def abort(self) -> None:
        """Nothing is open."""


def asked(link: Link) -> list[asyncio.Future[Any]]:
    link.connection_made(Socket())
    return [link.send(("GET", str(at))) for at in range(REPLIES)]


def replies(how_many: int) -> bytes:
    return b"".join(b":%d\r\n" % at for at in range(how_many))


def done(waiting: list[asyncio.Future[Any]]) -> int:
    return sum(one.done() for one in waiting)


@pytest.mark.anyio
async def test_replies_that_come_at_once_leave_the_loop_to_others_in_between() -> None:
    link = Link()
    waiting = asked(link)
    link.data_received(replies(REPLIES // 2))
    taken = [done(waiting)]
    link.data_received(replies(REPLIES)[len(replies(REPLIES // 2)) :])
    while done(waiting) < REPLIES:
        await asyncio.sleep(0)
        taken.append(done(waiting))
    assert max(later - sooner for sooner, later in zip([0, *taken], taken, strict=False)) <= 16
    assert list(range(REPLIES)) == [one.result() for one in waiting]
    assert 0 == link.pending


@pytest.mark.anyio
async def test_what_has_come_is_taken_before_a_lost_connection_fails_the_rest() -> None:
    link = Link()
    waiting = asked(link)
    link.data_received(replies(40))
    link.connection_lost(None)
    assert list(range(40)) == [one.result() for one in waiting[:40]]
    assert {ConnectionError} == {type(one.exception()) for one in waiting[40:]}
    await asyncio.sleep(0)  # what was put off finds nothing to do


@pytest.mark.anyio
async def test_garbage_behind_many_replies_fails_what_it_was_sent_for() -> None:
    link = Link()
    waiting = asked(link)
    link.data_received(replies(40) + b"?nonsense\r\n")
    await asyncio.wait(waiting)
    assert list(range(40)) == [one.result() for one in waiting[:40]]
    assert {ConnectionError} == {type(one.exception()) for one in waiting[40:]}


class Wire:
    """A link over a real pair of sockets; what stands at the other end is read and written by the test."""

    def __init__(self, link: Link, other: socket.socket) -> None:
        self.link = link
        self.other = other

    @classmethod
    async def make(cls) -> Wire:
        mine, other = socket.socketpair()
        other.setblocking(False)
        mine.setblocking(False)
        _, link = await asyncio.get_running_loop().create_connection(Link, sock=mine)
        return cls(link, other)

    def came(self) -> bytes:
        """What has come, without a turn of the loop."""
        try:
            return self.other.recv(1_000_000)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.link.drop()
        self.other.close()


def command(*words: str) -> bytes:
    parts = [b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(parts)


def on_each_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    for loop_factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())


def test_a_reply_that_is_looked_for_needs_no_turn_of_the_loop() -> None:
    async def main() -> None:
        wire = await Wire.make()
        reply = wire.link.send(("GET", "a"))
        assert command("GET", "a") == wire.came()
        assert not wire.link.look()
        wire.other.send(b":1")
        assert (False, False) == (wire.link.look(), reply.done())
        wire.other.send(b"7\r\n")
        assert (True, True) == (wire.link.look(), reply.done())
        assert 17 == reply.result()
        wire.close()
        await asyncio.sleep(0)

    on_each_loop(main)


def test_the_loop_takes_what_nobody_looked_for() -> None:
    async def main() -> None:
        wire = await Wire.make()
        first = wire.link.send(("GET", "a"))
        second = wire.link.send(("GET", "b"))
        sent = wire.came()
        while len(sent) < len(command("GET", "a") * 2):
            await asyncio.sleep(0)
            sent += wire.came()
        assert command("GET", "a") + command("GET", "b") == sent
        wire.other.send(b":1\r\n")
        assert (False, True, False) == (wire.link.look(), first.done(), second.done())
        wire.other.send(b":2\r\n")
        assert [1, 2] == await asyncio.gather(first, second)
        wire.close()
        await asyncio.sleep(0)

    on_each_loop(main)


def test_a_command_that_the_socket_does_not_take_whole_comes_whole_and_in_order() -> None:
    async def main() -> None:
        wire = await Wire.make()
        long = "x" * 3_000_000
        replies = [wire.link.send(("GET", long)), wire.link.send(("GET", "b"))]
        wanted = command("GET", long) + command("GET", "b")
        sent = b""
        while len(sent) < len(wanted):
            await asyncio.sleep(0)
            sent += wire.came()
        assert wanted == sent
        wire.other.send(b":1\r\n:2\r\n")
        assert [1, 2] == await asyncio.gather(*replies)
        wire.close()
        await asyncio.sleep(0)

    on_each_loop(main)


def test_a_connection_that_ends_while_its_reply_is_looked_for_fails_the_read() -> None:
    async def main() -> None:
        wire = await Wire.make()
        reply = wire.link.send(("GET", "a"))
        wire.other.close()
        assert not wire.link.look()
        await asyncio.wait((reply,))
        assert isinstance(reply.exception(), OSError)
        assert wire.link.look()  # nothing is waited for any more, and a closed file is left alone
        await asyncio.sleep(0)

    on_each_loop(main)


@pytest.mark.anyio
async def test_bytes_of_a_ciphered_connection_are_not_touched() -> None:
    mine, other = socket.socketpair()

    class Ciphered(Socket):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return {"sslcontext": "some", "socket": mine}.get(name, default)

    link = Link()
    link.connection_made(Ciphered())
    reply = link.send(("GET", "a"))
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(1)
    other.send(b":1\r\n")
    assert not link.look()
    link.data_received(b":1\r\n")
    assert 1 == await reply
    mine.close()
    other.close()
