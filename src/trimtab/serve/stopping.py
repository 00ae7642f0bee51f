"""Being told by a signal, at whatever moment it comes: to stop, or that a child has ended."""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import suppress
from types import FrameType


class Stop(threading.Event):
    """An event that a signal's handler may set, once and for all.

    The handler interrupts the main thread anywhere, also within ``wait``. An event of the standard library takes a lock
    in both, so that it would wait for ever for what it has interrupted; this one writes to a pipe.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told = False
        self._hear, self._tell = os.pipe()

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._told

    def set(self) -> None:
        """Let all who wait go on."""
        if not self._told:
            self._told = True
            os.write(self._tell, b"1")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for so many seconds at most; whether it was set."""
        if not self._told:
            heard = select.poll()
            heard.register(self._hear, select.POLLIN)
            heard.poll(None if timeout is None else timeout * 1e3)
        return self._told


class Bell:
    """Wakes the one who waits for whatever may happen: each signal rings, and any thread may.

    Nobody looks in vain meanwhile. The system's own handler rings, in whichever thread a signal comes; a ring is kept until
    somebody waits, and many are one.
    """

    def __init__(self) -> None:
        self._hear, self._rope = os.pipe()
        os.set_blocking(self._hear, False)
        os.set_blocking(self._rope, False)

    def ring(self) -> None:
        """Wake who waits, or whoever does so next."""
        with suppress(BlockingIOError):  # it rings already
            os.write(self._rope, b"1")

    def at_signals(self) -> None:
        """Ring at each signal that is handled, and when a child ends; for the main thread."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # what is not handled rings nothing
        signal.set_wakeup_fd(self._rope, warn_on_full_buffer=False)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it rings, for so many seconds at most."""
        heard = select.poll()
        heard.register(self._hear, select.POLLIN)
        heard.poll(None if timeout is None else timeout * 1e3)
        with suppress(BlockingIOError):
            while os.read(self._hear, 4096):
                pass


def stop_signal() -> Stop:
    """Set by SIGTERM and SIGINT from now on; for the main thread."""
    stop = Stop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop
