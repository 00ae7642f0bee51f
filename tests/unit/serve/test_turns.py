"""What a turn of the loop puts off, and in which order it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from trimtab.serve.turns import Turns

SECONDS = 10


@pytest.mark.anyio
async def test_who_waits_goes_on_behind_all_that_was_put_off_and_what_they_put_off_is_done() -> (
    None
):
    turns, done = Turns(), list[str]()

    def go_on() -> None:
        done.append("go on")
        turns.soon(lambda: done.append("count"))

    turns.go_on(go_on)
    turns.go_on(lambda: done.append("reply"))
    turns.soon(lambda: done.append("write"))
    assert done == []
    await asyncio.sleep(0)
    assert done == ["write", "go on", "reply", "count"]


@pytest.mark.anyio
async def test_who_waits_once_more_waits_for_the_end_of_the_next_turn() -> None:
    turns, done = Turns(), list[str]()

    def again() -> None:
        done.append("first")
        turns.go_on(lambda: done.append("second"))

    turns.go_on(again)
    await asyncio.sleep(0)
    assert done == ["first"]
    await asyncio.sleep(0)
    assert done == ["first", "second"]


@pytest.mark.anyio
async def test_a_turn_of_very_many_ends_early_for_those_who_wait_already() -> None:
    turns, done = Turns(most=2), list[str]()
    turns.soon(lambda: done.append("write"))
    turns.go_on(lambda: done.append("first"))
    assert done == []
    turns.go_on(lambda: turns.go_on(lambda: done.append("once more")))
    assert done == ["write", "first"]
    turns.go_on(lambda: done.append("third"))
    assert done == ["write", "first", "once more", "third"]
    await asyncio.sleep(0)
    assert len(done) == 4


@pytest.mark.anyio
async def test_what_is_put_off_by_what_was_put_off_is_not_forgotten() -> None:
    turns, closed = Turns(), asyncio.Event()
    turns.soon(lambda: turns.soon(closed.set))
    async with asyncio.timeout(SECONDS):
        await closed.wait()


@pytest.mark.anyio
async def test_who_begins_a_turn_ends_it_and_the_loop_ends_the_next() -> None:
    turns, done = Turns(), list[str]()
    turns.begin()
    turns.soon(lambda: done.append("write"))
    turns.go_on(lambda: done.append("go on"))
    await asyncio.sleep(0)
    assert done == []
    turns.end()
    assert done == ["write", "go on"]
    turns.soon(lambda: done.append("next"))
    await asyncio.sleep(0)
    assert done == ["write", "go on", "next"]


@pytest.mark.anyio
async def test_a_task_can_wait_for_the_end_of_its_turn_too() -> None:
    turns, done = Turns(), list[str]()

    async def waits() -> None:
        turns.soon(lambda: done.append("write"))
        await turns.ended()
        done.append("go on")

    async with asyncio.timeout(SECONDS):
        await asyncio.gather(waits(), waits())
    assert sorted(done[:2]) == ["write", "write"]
    assert done[2:] == ["go on", "go on"]


def test_the_driver_of_a_coroutine_is_told_that_it_waits_for_its_turn() -> None:
    turns = Turns()

    async def waits() -> None:
        await turns.ended()

    work = waits()
    assert work.send(None) is None
    assert turns.waits
    with pytest.raises(StopIteration):
        work.send(None)


@pytest.mark.anyio
async def test_who_waits_until_a_call_goes_on_in_it_with_a_task_and_without() -> None:
    turns, done, waiting = Turns(), list[str](), list[Callable[[], None]]()

    async def wait(name: str) -> None:
        await turns.until(waiting)
        done.append(name)

    def drive(work: Coroutine[Any, Any, None]) -> None:
        with suppress(StopIteration):
            work.send(None)
            assert turns.waits is not None
            turns.waits(partial(drive, work))

    # As the lane does, outside of any task.
    asyncio.get_running_loop().call_soon(drive, wait("driven"))
    task = asyncio.create_task(wait("task"))
    given_up = asyncio.create_task(wait("given up"))
    await asyncio.sleep(0)
    given_up.cancel()
    assert (len(waiting), done) == (3, [])
    for call in waiting:
        call()
    assert done == ["driven"]
    await task
    assert done == ["driven", "task"]
