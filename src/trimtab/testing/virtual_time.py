"""An event loop whose time jumps to whatever is awaited next."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import TypeVar

from trimtab.testing.fakes import FakeClock

T = TypeVar("T")


def run_virtually(main: Callable[[FakeClock], Coroutine[object, object, T]]) -> T:
    """Run a coroutine in virtual time.

    Hours of time-outs take no time, and what is measured with the clock is exact. Other threads
    are not waited for.

    Args:
        main: Takes the loop's clock.

    Raises:
        RuntimeError: everything waits, and nothing is due.
    """
    clock = FakeClock()
    with asyncio.Runner(loop_factory=lambda: _VirtualLoop(clock)) as runner:
        return runner.run(main(clock))


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__(_JumpingSelector(clock))
        self._virtual = clock

    def time(self) -> float:
        return self._virtual.monotonic()


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._virtual = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            message = "everything waits, and nothing is due"
            raise RuntimeError(message)
        if not ready:
            self._virtual.advance(timeout or 0.0)
        return ready
