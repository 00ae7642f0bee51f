"""Replies of Redis are taken in their order, and many at once do not hold up the loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

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
