"""How many connections a worker holds, how much of their bodies, and how long a slow one may keep it waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from trimtab.config import ServeConfig
from trimtab.telemetry import UNKNOWN, Metrics

SWEEP_SECONDS = 1.0
QUIET_SECONDS = 5.0
"""A connection that brings no further request for longer is closed by the next sweep."""


class Held(Protocol):
    """A connection, as far as it is watched here."""

    began: float | None
    """When the request began that is still arriving, or the connection; None between requests."""

    behind: float | None
    """Since when its client has been seen not to take its answers; None while it does."""

    quiet: float | None
    """Since when it has been open without a request, behind one that was answered."""

    def owes_bytes(self) -> bool:
        """Whether answers wait for the client to take them."""
        ...

    def cut(self) -> None:
        """End it, with a word if nothing was answered yet."""
        ...

    def leave(self) -> None:
        """Close it, unless an answer is owed."""
        ...


class Connections:
    """The open connections of a worker.

    Args:
        config: The limits.
        monotonic: Seconds that never go back.
        metrics: Shows how many are open; counts those that were not taken or cut, and what they were told.
        later: Calls a function after so many seconds.
        quiet_seconds: How long a connection stays open without a request.
    """

    def __init__(
        self,
        config: ServeConfig,
        monotonic: Callable[[], float],
        metrics: Metrics,
        later: Callable[[float, Callable[[], None]], object],
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._quiet_seconds = quiet_seconds
        self._most = config.max_connections
        self._seconds = config.request_seconds
        self.monotonic = monotonic
        self.later = later
        self._show = metrics.setter("ml_connections_open")
        self._full = metrics.counter("ml_connections_cut_total", reason="limit")
        self._slow = metrics.counter("ml_connections_cut_total", reason="slow")
        self._many = metrics.counter("ml_connections_cut_total", reason="bytes")
        self._most_bytes = max(config.max_held_bytes, config.max_body_bytes)
        self._bytes = 0
        self._metrics = metrics
        self._open: set[Held] = set()
        self._waiting = False

    @property
    def open(self) -> frozenset[Held]:
        """Those that are held now."""
        return frozenset(self._open)

    def take(self, connection: Held) -> bool:
        """Hold a connection, unless there are too many."""
        if len(self._open) >= self._most:
            self._full(1.0)
            return False
        self._open.add(connection)
        self._show(len(self._open))
        if not self._waiting:
            self._waiting = True
            self.later(SWEEP_SECONDS, self._again)
        return True

    @property
    def held(self) -> int:
        """Bytes that are held now."""
        return self._bytes

    def hold(self, size: int) -> bool:
        """Hold more of the bodies that arrive piece by piece; False where that is too much, which is counted."""
        self._bytes += size
        if self._bytes <= self._most_bytes:
            return True
        self._many(1.0)
        return False

    def release(self, size: int) -> None:
        """Hold so much less: their requests are answered, or gone."""
        self._bytes -= size

    def said(self, status: int) -> None:
        """Count an answer to what was no request, or not a whole one."""
        self._metrics.count("ml_requests_total", model=UNKNOWN, code=status)

    def gone(self, connection: Held) -> None:
        """A connection has ended, whether it was held or not."""
        if connection in self._open:
            self._open.discard(connection)
            self._show(len(self._open))

    def sweep(self) -> None:
        """Cut connections whose request has not arrived in time, or whose answers nobody takes.

        Those that are not used any more are closed.
        """
        now = self.monotonic()
        for connection in tuple(self._open):
            if not connection.owes_bytes():
                connection.behind = None
            elif connection.behind is None:
                connection.behind = now
            since = [at for at in (connection.began, connection.behind) if at is not None]
            if since and now - min(since) > self._seconds:
                self._slow(1.0)
                connection.cut()
            elif connection.quiet is not None and now - connection.quiet > self._quiet_seconds:
                connection.leave()

    def _again(self) -> None:
        self.sweep()
        self._waiting = bool(self._open)
        if self._waiting:
            self.later(SWEEP_SECONDS, self._again)
