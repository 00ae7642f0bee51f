"""Whether a reply is looked for a moment longer, before the loop goes to sleep until it comes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

MOST_SECONDS = 60e-6
"""A server on the same machine answers in half of this; to fall asleep and be woken takes about as long."""

MEMORY = 1 / 16
"""The weight of the last reply in what part of them came in time."""

LEAST_IN_TIME = 0.5
"""Looks pay while so large a part of the replies comes in time."""

TRIED_EVERY = 256
"""So often looks are made although they did not pay, to see whether they do now."""

WEIGHT = 8
"""A read of several rows counts for so many of one: they come together then, and others have work while one lingers."""

MOST_WEIGHT = 6 * WEIGHT
"""However many reads of several there were, so many of one make up for them."""


class Linger:
    """Looks for replies that come at once, and leaves it when they come too late.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._in_time = 1.0
        self._left_out = 0

    def look(self, come: Callable[[], bool]) -> None:
        """Ask for a reply until it has come, for a moment at most, or not at all.

        Args:
            come: Takes what is there; whether that was the reply. It never waits.
        """
        if self._in_time < LEAST_IN_TIME:
            self._left_out += 1
            if self._left_out % TRIED_EVERY:
                return
        until = self._clock() + MOST_SECONDS
        while not (came := come()) and self._clock() < until:
            pass
        in_time = self._in_time + (came - self._in_time) * MEMORY
        self._in_time = LEAST_IN_TIME if came and in_time < LEAST_IN_TIME else in_time


class Company:
    """Whether rows come one by one lately: fewer than one read in nine is of several."""

    def __init__(self) -> None:
        self._weight = 0

    def alone(self, entities: int) -> bool:
        """Whether a read of so many entities is of one alone, and those before it usually were."""
        if entities > 1:
            self._weight = min(self._weight + WEIGHT, MOST_WEIGHT)
            return False
        if self._weight:
            self._weight -= 1
        return self._weight < WEIGHT
