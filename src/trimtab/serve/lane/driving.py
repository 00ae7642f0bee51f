"""Coroutines driven to their end within a turn, without a task where none is needed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from enum import Enum, auto
from types import coroutine
from typing import Any, Generic, TypeVar

from trimtab.log_events import Event
from trimtab.serve.turns import Turns

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Broken(Enum):
    """What became of work that led to nothing: it raised, or was given up."""

    RAISED = auto()
    CANCELLED = auto()


class Driven(Generic[T]):
    """Work that is under way.

    Args:
        work: What is driven to its end, or to where it waits for what the turns call; where it waits for anything
            else, a task goes on.
        turns: The turns of the loop.
        tasks: Where such a task is kept until it is done.
        end: Takes the result.
    """

    __slots__ = ("_end", "_tasks", "_turns", "_work")

    def __init__(
        self,
        work: Coroutine[Any, Any, T],
        turns: Turns,
        tasks: set[asyncio.Task[Any]],
        end: Callable[[T | Broken], None],
    ) -> None:
        self._work, self._turns, self._tasks, self._end = work, turns, tasks, end

    def go_on(self) -> None:
        """Drive it."""
        turns = self._turns
        turns.waits = None
        try:
            waiting = self._work.send(None)
        except StopIteration as done:
            self._end(done.value)
            return
        except Exception:
            logger.exception(Event.REQUEST_FAILED)
            self._end(Broken.RAISED)
            return
        # Read anew: the work has set it.
        if (waits := self._turns.waits) is not None:
            waits(self.go_on)
        else:
            task = asyncio.get_running_loop().create_task(_rest(self._work, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            self._end(Broken.CANCELLED)
        elif (error := task.exception()) is not None:
            logger.error(Event.REQUEST_FAILED, exc_info=error)
            self._end(Broken.RAISED)
        else:
            self._end(task.result())


async def _rest(work: Coroutine[Any, Any, T], waiting: asyncio.Future[object] | None) -> T:
    """Wait for what the work waits for, then go on with it."""
    try:
        if waiting is None:
            await asyncio.sleep(0)
        else:
            waiting._asyncio_future_blocking = False  # noqa: SLF001 - what a task does that takes it over
            await _over(waiting)
        return await _resumed(work)
    finally:
        work.close()


def _over(waiting: asyncio.Future[object]) -> asyncio.Future[None]:
    """Done when another future is, however that ended; whoever awaits it may go away."""
    over: asyncio.Future[None] = waiting.get_loop().create_future()

    def end(_: object) -> None:
        if not over.done():
            over.set_result(None)

    waiting.add_done_callback(end)
    return over


@coroutine
def _resumed(work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """A coroutine that has begun cannot be awaited again, but it can be delegated to."""
    result: T = yield from work
    return result
