"""Whether a busy loop lets a moment pass before it answers, so that more requests share a turn.

Where requests come one by one just as fast as they are answered, each pays a turn's price alone and the loop never sleeps. What else must run on
its core, the journal's sync and the watcher, then takes it from requests, for milliseconds. In a lull a few more come,
and the core is free.

Clients that ask whenever they have something to ask are answered as many requests as without lulls, with less work. Those that ask when they have
their last answer ask less often. So lulls are tried, in turns with none, and kept where both is seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from statistics import median
from typing import NamedTuple

LULL_SECONDS = 100e-6

FEW = 4
"""Who waits with more than so many in all has company enough."""

BLOCK_SECONDS = 0.005
BLOCK_REQUESTS = 64
"""There are lulls or none until at least so much time has passed and so many were answered, or the next has passed."""

LONGEST_BLOCK_SECONDS = 0.1

BUSY_RATIO = 0.9
"""Of the time, that a loop without lulls works before they are tried."""

IDLE_RATIO = 0.25
"""Of the time: a loop that works less is at leisure, with lulls or without."""

TRIAL = ((4, 0.8), (16, 0.9))
"""Behind so many blocks with lulls and as many without, at least so much of what is answered without."""

MOST_WORK_RATIO = 0.9
"""Of the time that the loop works without lulls."""

KEPT_SECONDS = 2.0
LEFT_OUT_SECONDS = 10.0
"""Until the next trial."""


class Block(NamedTuple):
    """What a stretch of time brought."""

    ended: float
    """When, in seconds that never go back."""

    rate: float
    """Requests answered in a second."""

    busy_ratio: float
    """The part of it for which the loop's thread ran."""

    size: float
    """Requests in a turn."""


class Lulls:
    """Says when to wait, and waits.

    Args:
        ran: For how many seconds this thread has run so far.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        ran: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], object] = time.sleep,  # noqa: TID251 - to let time pass is all it is for
    ) -> None:
        self._ran = ran
        self._sleep = sleep
        self._course = course()
        self._on = next(self._course)
        self._waited = False
        self._turns = self._answered = 0
        self._began = self._ran_before = 0.0

    def waited(self, waiting: int) -> bool:
        """Wait a moment if that is due, once a turn; whether it was, and who came meanwhile is to be read first."""
        self._waited = self._on and not self._waited and waiting <= FEW
        if self._waited:
            self._sleep(LULL_SECONDS)
        return self._waited

    def answered(self, requests: int, now: float) -> None:
        """Note how many requests a turn answered that ends now."""
        self._turns += 1
        self._answered += requests
        seconds = now - self._began
        if seconds < BLOCK_SECONDS or (
            self._answered < BLOCK_REQUESTS and seconds < LONGEST_BLOCK_SECONDS
        ):
            return
        ran = self._ran()
        busy = (ran - self._ran_before) / seconds
        ended = Block(now, self._answered / seconds, busy, self._answered / self._turns)
        self._on = self._course.send(ended)
        self._turns = self._answered = 0
        self._began, self._ran_before = now, ran


def course() -> Generator[bool, Block, None]:
    """Whether there are lulls in the next block, told what the last one brought."""
    while True:
        block = yield False
        if block.busy_ratio < BUSY_RATIO or block.size <= 1:  # or each was alone: one client
            continue
        kept = yield from tried()
        block = yield kept
        until = block.ended + (KEPT_SECONDS if kept else LEFT_OUT_SECONDS)
        while block.ended < until and block.busy_ratio >= IDLE_RATIO:
            block = yield kept


def tried() -> Generator[bool, Block, bool]:
    """A trial; whether lulls are to be kept."""
    with_lulls: list[Block] = []
    without: list[Block] = []
    for blocks, least in TRIAL:
        while len(without) < blocks:
            with_lulls.append((yield True))
            without.append((yield False))
            if without[-1].busy_ratio < IDLE_RATIO:
                return False
        if not pay(with_lulls, without, least):
            return False
    return True


def pay(with_lulls: list[Block], without: list[Block], least: float) -> bool:
    """Whether as many were answered with less work; by medians, since what else the machine does falls into few blocks."""
    rates = [median(block.rate for block in blocks) for blocks in (with_lulls, without)]
    busy = [median(block.busy_ratio for block in blocks) for blocks in (with_lulls, without)]
    return rates[0] >= least * rates[1] and busy[0] <= MOST_WORK_RATIO * busy[1]
