"""Being told to stop by a signal, at whatever moment it comes."""

from __future__ import annotations

import os
import select
import signal
import threading
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


def stop_signal() -> Stop:
    """Set by SIGTERM and SIGINT from now on; for the main thread."""
    stop = Stop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop
