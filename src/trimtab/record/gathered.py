"""What is appended in one turn of an event loop, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from trimtab.errors import Unavailable

Call = Callable[[], None]


class Gathered:
    """Records of one turn of the event loop, and what became of them."""

    __slots__ = ("count", "done", "error", "frames", "loop", "waiting", "wall_time")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.frames: list[bytes] = []
        self.count = 0
        self.wall_time = 0.0
        self.waiting: list[Call] = []
        self.done = False
        self.error: Unavailable | None = None

    def settle(self, error: Unavailable | None) -> None:
        """Say what became of them, and let those go on who wait until something calls them."""
        self.error, self.done = error, True
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call()


class EachTurn:
    """The turns of whatever loop runs, where nobody else has put anything off; a :class:`~trimtab.protocols.Turn`."""

    def soon(self, call: Call) -> None:
        """Put off a call to the loop's next turn."""
        asyncio.get_running_loop().call_soon(call)

    async def ended(self) -> None:
        """Wait for the next turn."""
        await asyncio.sleep(0)

    async def until(self, waiting: list[Call]) -> None:
        """Wait until somebody calls what this adds to ``waiting``."""
        await called(waiting)


def called(waiting: list[Call]) -> asyncio.Future[None]:
    """Done once somebody calls what this adds to ``waiting``; whoever awaits it may go away."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def call() -> None:
        if not future.done():
            future.set_result(None)

    waiting.append(call)
    return future
