"""Work that nobody waits for gives way: it rests as others want the core that it runs on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

REST_RATIO = 10.0
"""Seconds of rest for each that the work had to wait."""

MOST_SECONDS = 1.0
"""The longest rest: so the work ends, however long the core is wanted."""

_TOLD = Path("/proc/thread-self/schedstat")


def waited_for_core() -> float:
    """For how many seconds this thread could have run and did not so far; 0 where the system does not tell."""
    try:
        return spent_by(_TOLD)[1]
    except (OSError, ValueError):
        return 0.0


def spent_by(told: Path) -> tuple[float, float]:
    """For how many seconds a thread has run, and has waited for a core, as its ``schedstat`` says in nanoseconds."""
    ran, waited, _ = told.read_text(encoding="ascii").split()
    return int(ran) / 1e9, int(waited) / 1e9


class GivingWay:
    """How long to rest between two pieces of work.

    Args:
        waited: For how many seconds the work has waited for a core so far.
    """

    def __init__(self, waited: Callable[[], float] = waited_for_core) -> None:
        self._waited = waited
        self._before = waited()

    def rest_seconds(self) -> float:
        """How long to rest after the piece that has just ended."""
        now = self._waited()
        rest = min(REST_RATIO * (now - self._before), MOST_SECONDS)
        self._before = now
        return rest
