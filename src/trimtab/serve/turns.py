"""Turns of the event loop: what requests that arrived together share is done once, at the end of their turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from types import coroutine
from typing import Any

from trimtab.record.gathered import called

Call = Callable[[], None]
MOST_WAITING = 64


class Turns:
    """Runs what was put off, then lets those go on who wait for it; a :class:`~trimtab.protocols.Turn`.

    A turn is what the loop does between two looks at its sockets. What a reply promises and others of the turn share (the
    journal's write) is put off with ``soon``, and who replies waits for it.

    Args:
        most: When so many wait, the turn ends early for them: what they hold stays bounded, and those behind
            them are not taken for requests too many.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._ending = False
        self.waits: Callable[[Call], None] | None = None
        """Takes what goes on with the coroutine that was driven last, if it waits here; reset by its driver."""

        self._soon: Callable[[Call], object] | None = None
        self._calls: list[Call] = []
        self._waiting: list[Call] = []
        self._ends = False

    def soon(self, call: Call) -> None:
        """Put off a call to the end of this turn."""
        self._calls.append(call)
        if not self._ends:
            self._end_soon()

    @coroutine
    def ended(self) -> Generator[None, None, None]:
        """Wait for the end of this turn, behind what was put off until now."""
        self.waits = self.go_on
        yield

    @coroutine
    def until(self, waiting: list[Call]) -> Generator[Any, Any, None]:
        """Wait until somebody calls what this adds to ``waiting``; a task does so without being driven."""
        if asyncio.current_task() is not None:
            yield from called(waiting)
        else:
            self.waits = waiting.append
            yield

    def go_on(self, call: Call) -> None:
        """Call somebody who waits for the end of this turn."""
        self._waiting.append(call)
        if len(self._waiting) >= self._most and not self._ending:
            self.end()
        else:
            self._end_soon()

    def _end_soon(self) -> None:
        if not self._ends:
            self._ends = True
            if self._soon is None:
                # Once: before Python 3.12 to ask for the loop is a call to the kernel.
                self._soon = asyncio.get_running_loop().call_soon
            self._soon(self.end)

    def begin(self) -> None:
        """Leave the end of this turn to the caller; the loop is not asked for it."""
        self._ends = True

    def end(self) -> None:
        """End the turn; the loop does this by itself where nobody began it."""
        self._ending = True
        self._run_calls()
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()
        self._run_calls()
        self._ending = self._ends = False
        if self._waiting:
            self._end_soon()

    def _run_calls(self) -> None:
        while self._calls:
            calls, self._calls = self._calls, []
            for call in calls:
                call()
