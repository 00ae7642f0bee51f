"""How far a search has come, and when it must end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from trimtab.types import Record


class Standing(Record, frozen=True):
    """Where a search stands.

    ``measured`` forms so far, what comes ``next``, the ``share`` of the whole that is done (0 to 1), and
    about how many seconds remain; None as long as nothing is known of the pace.
    """

    measured: int
    next: str
    share: float
    left_seconds: float | None


@dataclass(slots=True)
class Course:
    """Counts applications of steps, and foretells from their pace.

    Args:
        seconds: No further form is made after so long; what is being made is finished.
        timer: Seconds.

    >>> now = iter([0.0, 2.0, 2.0, 9.0])
    >>> course = Course(seconds=8.0, timer=lambda: next(now))
    >>> course.begin(10, after=1.0)
    >>> course.applied()
    >>> course.standing(4, "compact")
    Standing(measured=4, next='compact', share=0.222..., left_seconds=7.0)
    >>> course.over
    False
    >>> course.over
    True
    """

    seconds: float = math.inf
    timer: Callable[[], float] = time.monotonic
    _began: float = 0.0
    _after: float = 0.0
    _expected: int = 0
    _applied: int = 0

    def begin(self, expected: int, *, after: float) -> None:
        """Start: so many applications of steps are expected, and ``after`` them so many seconds."""
        self._began, self._expected, self._after = self.timer(), expected, after
        self._applied = 0

    def applied(self) -> None:
        """One more step was applied to one more form."""
        self._applied += 1

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.timer() - self._began >= self.seconds

    def standing(self, measured: int, what: str) -> Standing:
        """Where the search stands before ``what``."""
        if not self._applied:
            return Standing(measured=measured, next=what, share=0.0, left_seconds=None)
        spent = self.timer() - self._began
        waiting = max(self._expected - self._applied, 0) * spent / self._applied
        left = min(waiting, max(self.seconds - spent, 0.0)) + self._after
        share = spent / (spent + left) if spent + left else 1.0
        return Standing(measured=measured, next=what, share=share, left_seconds=left)
