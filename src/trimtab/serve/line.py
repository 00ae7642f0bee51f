"""The line in which read requests wait for their answer, and who is sent away from it.

The loop reads what has arrived, which costs little, and what arrives meanwhile if that pays (:mod:`trimtab.serve.looks`), and then answers a slice of those that wait, so that
health, metrics and the control plane, which do not stand in line, get their turn in between. As long as
everybody is answered in time, who came first is first. When somebody has waited longer than ``max_wait_ms``,
more come than can be answered: then the newest are answered, in next to no time, and those that
are late are sent away, oldest first. A refusal costs a read and a write, about a fifth of a cheap answer, so
there are only so many a second; who is neither answered nor refused yet holds its client back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from trimtab.serve.looks import Looks
from trimtab.serve.overload import Turnstile
from trimtab.serve.turns import MOST_WAITING, Turns

SLICE_SECONDS = 0.005
"""Behind so much work the loop looks at its sockets again."""

REFUSALS_PER_SECOND = 3_000
"""While others wait for answers: at some 11 µs each, refusals take a thirtieth of the worker's time."""

MOST_SAVED = 64.0
"""So many refusals that could have been made are made up for."""

FREE_REFUSALS = 16
"""In a slice in which nobody was answered, for want of anybody who is not late."""


class Waiting(Protocol):
    """A request that was read whole."""

    arrived: float
    """When, by the turnstile's clock."""

    disconnected: bool
    """Whether nobody waits for its answer any more."""

    def answer(self) -> None:
        """Begin to answer it."""
        ...

    def refuse(self, reason: str) -> None:
        """Send it away unread, for one of the reasons of :mod:`trimtab.serve.overload`."""
        ...


class Line:
    """Answers who waits, in slices, and refuses who waited in vain.

    Args:
        turnstile: Says who is late, and whether more may be open.
        turns: Ends a turn with each slice.
        most: How many are answered in a slice.
        soon: Calls a function in the loop's next turn, behind what is read until then.
    """

    def __init__(
        self,
        turnstile: Turnstile,
        turns: Turns,
        most: int = MOST_WAITING,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._turnstile = turnstile
        self._turns = turns
        self._most = most
        self._soon = soon
        self.looks = Looks()
        self._waiting: deque[Waiting] = deque()
        self._called = False
        self._allowed = 0.0
        self._counted = 0.0

    def join(self, request: Waiting) -> None:
        """Let a request wait; of a connection no more than one does."""
        request.arrived = self._turnstile.monotonic()
        self._waiting.append(request)
        self._serve_soon()

    def serve(self) -> None:
        """Answer a slice; the loop does this by itself."""
        self._called = False
        waiting, turnstile = self._waiting, self._turnstile
        began = now = turnstile.monotonic()
        crowded = bool(waiting) and turnstile.late(waiting[0].arrived, now)
        if not crowded and self.looks.again(len(waiting), now):
            self._serve_soon()
            return
        self._turns.begin()
        answered = 0
        while waiting and answered < self._most and now - began <= SLICE_SECONDS:
            request = waiting.pop() if crowded else waiting.popleft()
            if request.disconnected:
                turnstile.shed("gone")
            elif turnstile.late(request.arrived, now):
                self._put_back(request, crowded=crowded)
                break  # with the newest all are late; in their order, the next slice begins with the newest
            elif turnstile.full:
                request.refuse("in_flight")
            else:
                self.begin(request.arrived, request.answer)
                answered += 1
            now = turnstile.monotonic()
        if crowded:
            self._refuse(now, free=not answered)
        self._turns.end()
        self.looks.answered(answered, turnstile.monotonic() - began)
        if waiting:
            self._serve_soon()

    def begin(self, arrived: float, answer: Callable[[], None]) -> None:
        """Begin to answer a request, whose deadline counts from when it came."""
        self._turnstile.arrived = arrived
        try:
            answer()
        finally:
            self._turnstile.arrived = None

    def _put_back(self, request: Waiting, *, crowded: bool) -> None:
        (self._waiting.append if crowded else self._waiting.appendleft)(request)

    def _refuse(self, now: float, *, free: bool) -> None:
        """Refuse who is late, oldest first, as long as it takes no time from those who can be answered."""
        saved = self._allowed + (now - self._counted) * REFUSALS_PER_SECOND
        self._allowed, self._counted = min(saved, MOST_SAVED), now
        waiting, made = self._waiting, 0
        while waiting and self._turnstile.late(waiting[0].arrived, now):
            if self._allowed < 1 and not (free and made < FREE_REFUSALS):
                return
            request = waiting.popleft()
            if request.disconnected:
                self._turnstile.shed("gone")
                continue
            request.refuse("queue")
            made += 1
            self._allowed = max(0.0, self._allowed - 1)

    def _serve_soon(self) -> None:
        if not self._called:
            self._called = True
            if self._soon is None:
                # Once: before Python 3.12 to ask for the loop is a call to the kernel.
                self._soon = asyncio.get_running_loop().call_soon
            self._soon(self.serve)
