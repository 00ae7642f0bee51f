"""Work in short pieces where others want its core: it gives the core back by itself.

Whoever has a core keeps it until the next tick of the kernel's clock, up to 4 ms, however little of it is due to him; only who has
just woken may take it sooner. So the work rests for a moment each time it has run for a quarter of a millisecond,
as long as it has to wait for the core. A timer's signal tells when, between any two steps of the interpreter.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PIECE_SECONDS = 0.25e-3

MOST_REST_SECONDS = 1e-3
"""Behind a piece the work rests as long as it had to wait, and no longer than this: to leave the core is what counts."""

FREE_SECONDS = 2e-3
"""The length of a piece on a core that nobody else wants, behind which there is no rest."""

WANTED_SECONDS = 50e-6
"""Who waits no longer than that for a core during a piece has it for himself."""

LEAST_SECONDS = 50e-6
"""The timer is set to no less: also a signal takes its time."""

Spent = Callable[[], tuple[float, float]]
"""For how many seconds a thread has run so far, and for how many it waited for a core."""


class Pieces:
    """Cuts the work of a thread into pieces.

    Args:
        spent: Of the thread that does the work.
        later: Sets the timer that calls ``over``, in so many seconds of time; 0 stops it.
        rest: Waits for so many seconds.
        look: Called behind each piece with the seconds the work has run, and has waited or rested.
    """

    def __init__(
        self,
        spent: Spent,
        later: Callable[[float], object],
        rest: Callable[[float], object],
        look: Callable[[float, float], None] = lambda _ran, _waited: None,
    ) -> None:
        self._spent = spent
        self._later = later
        self._rest = rest
        self._look = look
        self._ran, self._waited = spent()
        self._rested = 0.0
        self._length = FREE_SECONDS
        self._cutting = False

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Cut what is done in this block; nothing rests behind it."""
        self._cutting = True
        self._begin(*self._spent())
        try:
            yield
        finally:
            self._cutting = False
            self._later(0.0)

    def over(self, *_: object) -> None:
        """End the piece if it has run for long enough, and begin the next."""
        if not self._cutting:  # the signal was on its way
            return
        ran, waited = self._spent()
        left = self._length - (ran - self._ran)
        if left > 0:
            self._later(max(left, LEAST_SECONDS))
            return
        self._look(ran, waited + self._rested)
        wanted = waited - self._waited
        if wanted > WANTED_SECONDS:
            rest = min(wanted, MOST_REST_SECONDS)
            self._rested += rest
            self._rest(rest)
        self._begin(ran, waited)

    def _begin(self, ran: float, waited: float) -> None:
        """Begin a piece behind one at whose end the work had run and waited for so long."""
        wanted = waited - self._waited > WANTED_SECONDS
        self._length = PIECE_SECONDS if wanted else FREE_SECONDS
        self._ran, self._waited = ran, waited
        self._later(self._length)


def in_pieces(
    told: Path, look: Callable[[float, float], None] = lambda _ran, _waited: None
) -> Pieces | None:
    """Pieces of what this thread does, told of by its ``schedstat``; None where that, or signals, cannot be had."""
    if not told.exists() or threading.current_thread() is not threading.main_thread():
        return None
    # Open for as long as the process: to open it each time takes twenty times as long as to read it.
    file = os.open(told, os.O_RDONLY | os.O_CLOEXEC)

    def spent() -> tuple[float, float]:
        # How long a thread has run stands there as of the clock's last tick.
        return time.thread_time(), int(os.pread(file, 64, 0).split()[1]) / 1e9

    pieces = Pieces(
        spent,
        lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds),
        threading.Event().wait,
        look,
    )
    signal.signal(signal.SIGALRM, pieces.over)
    signal.siginterrupt(signal.SIGALRM, False)
    return pieces
