"""The real clock."""

from __future__ import annotations

import time


class SystemClock:
    """Wall and monotonic time of this machine."""

    now = staticmethod(time.time)
    """Unix seconds, UTC."""

    monotonic = staticmethod(time.monotonic)
    """Seconds that never go back."""
