"""A circuit breaker: a store that keeps failing is left alone, and tried again now and then."""

from __future__ import annotations

import logging
from threading import Lock

from trimtab.config import FeaturesConfig
from trimtab.log_events import Event
from trimtab.protocols import Clock
from trimtab.telemetry import Metrics

logger = logging.getLogger(__name__)

_CLOSED, _HALF_OPEN, _OPEN = 0.0, 0.5, 1.0


class Breaker:
    """Decides whether a store is worth a read; thread-safe.

    Closed, every read is allowed. ``breaker_failures`` failures in a row open it. Open, one read
    every ``breaker_seconds`` is allowed as a probe (half-open), and the first success closes it. A
    probe that never reports back therefore cannot keep it open. The gauge is 1 while it is open, 0.5
    while a probe is under way, and 0 while it is closed.

    Args:
        store: The store's name, for metrics and logs.
        metrics: Failures are counted, and the state is shown.
        clock: Monotonic time.
        config: Its two bounds.
    """

    def __init__(self, store: str, metrics: Metrics, clock: Clock, config: FeaturesConfig) -> None:
        self._store = store
        self._limit = config.breaker_failures
        self._seconds = config.breaker_seconds
        self._metrics = metrics
        self._clock = clock
        self._lock = Lock()
        self._failures = 0
        self._probe_at: float | None = None
        self.steady = True
        """Whether the last read succeeded, or there was none: then a read may start, and its success is no news."""
        self._show(_CLOSED)

    @property
    def is_open(self) -> bool:
        """Whether reads are refused but for probes."""
        return self._probe_at is not None

    def allow(self) -> bool:
        """Whether a read may start now."""
        if self.steady:
            return True
        with self._lock:
            now = self._clock.monotonic()
            if self._probe_at is not None and now < self._probe_at:
                return False
            if self._probe_at is None:
                return True
            self._probe_at = now + self._seconds
        self._show(_HALF_OPEN)
        return True

    def succeeded(self) -> None:
        """A read came back in time."""
        if self.steady:
            return
        with self._lock:
            closes = self._probe_at is not None
            self._failures = 0
            self._probe_at = None
            self.steady = True
        if closes:
            self._show(_CLOSED)
            logger.warning(Event.BREAKER_CLOSED, extra={"store": self._store})

    def failed(self, reason: str) -> None:
        """A read failed, or did not come back in time."""
        self._metrics.count("ml_feature_store_failures_total", store=self._store)
        with self._lock:
            was_open = self._probe_at is not None
            self._failures += 1
            self.steady = False
            opens = not was_open and self._failures >= self._limit
            if opens:
                self._probe_at = self._clock.monotonic() + self._seconds
        if was_open:
            self._show(_OPEN)
        else:
            logger.warning(Event.STORE_FAILED, extra={"store": self._store, "reason": reason})
        if opens:
            self._show(_OPEN)
            logger.warning(
                Event.BREAKER_OPENED, extra={"store": self._store, "failures": self._limit}
            )

    def undecided(self) -> None:
        """A read was given up before it could tell."""
        if self.is_open:
            self._show(_OPEN)

    def _show(self, state: float) -> None:
        self._metrics.gauge("ml_feature_breaker_open", state, store=self._store)
