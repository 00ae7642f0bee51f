"""Whether the loop looks at its sockets once more before requests that wait are answered together.

A turn has a price of its own, whatever its requests: a write to the journal, counters, a call of the model. While
requests are read and answered others arrive, and who is answered in this turn spares a part of the next one. A
look costs a call to the kernel. It is made when fewer requests wait than were answered last, and when what looks
lately brought is worth more than what they cost.
"""

from __future__ import annotations

import math

MOST_LOOKS = 2
"""Behind so many looks who waits is answered, whoever might still come."""

MEMORY = 1 / 16
"""The weight of the last look in what looks bring."""

TRIED_EVERY = 256
"""So often a look is made although they did not pay, to see whether they do now."""


class Looks:
    """Weighs looks by what turns and looks were measured to take.

    A busy machine only makes things longer, so the shortest turn of each size counts, and the shortest look.
    """

    def __init__(self) -> None:
        self._shortest: dict[int, float] = {}
        self._size = 0
        self._look = 0.0
        self._brought = 1.0
        self._made = 0
        self._had = 0
        self._since = 0.0
        self._left_out = 0
        self.price = 0.0
        """Seconds that a turn takes beside its requests."""

    def again(self, waiting: int, now: float) -> bool:
        """Whether to look once more before those who wait are answered.

        Args:
            waiting: How many requests wait.
            now: Seconds that never go back.
        """
        if self._made:
            self._learn(waiting - self._had, now - self._since)
        if waiting < self._size and self._made < MOST_LOOKS and self._worth(waiting):
            self._made += 1
            self._had, self._since = waiting, now
            return True
        self._made = 0
        return False

    def answered(self, requests: int, seconds: float) -> None:
        """Note how long a turn took, and of how many requests it was."""
        self._size = requests
        shortest = self._shortest.get(requests, math.inf)
        if requests and seconds < shortest:
            self._shortest[requests] = seconds
            self._set_price()

    def _worth(self, waiting: int) -> bool:
        """Whether a look saves more of a turn's own price, of which each request bears its part, than it costs."""
        if self._brought * self.price > self._look * waiting:
            return True
        self._left_out += 1
        return bool(self.price) and self._left_out % TRIED_EVERY == 0

    def _learn(self, brought: int, seconds: float) -> None:
        self._brought += (brought - self._brought) * MEMORY
        if not brought:
            self._look = min(self._look or seconds, seconds)

    def _set_price(self) -> None:
        """``(n S(m) - m S(n)) / (n - m)``: what turns of two sizes have in common."""
        few = min(self._shortest)
        one = self._shortest[few]
        self.price = max(
            (
                (size * one - few * seconds) / (size - few)
                for size, seconds in self._shortest.items()
                if size > few
            ),
            default=0.0,
        )
