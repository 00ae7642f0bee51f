"""Early refusal: what a worker cannot answer in time, it says so at once.

A worker answers the requests that arrived together one after the other, in a turn of its event loop. So
the time since a turn began is the least that a request has waited which is only now looked at. When
that is more than ``max_wait_ms``, there are more requests than can be answered in time, and the rest of
the turn is refused, which costs a fraction of an answer; the next turn is short again. Requests that
wait for something else, such as a feature store, are bounded by their number.
"""

from __future__ import annotations

from collections.abc import Callable

from trimtab.config import ServeConfig
from trimtab.errors import Unavailable
from trimtab.telemetry import Metrics

Soon = Callable[[Callable[[], None]], object]
"""Calls a function in the loop's next turn."""

SHED_CODES = frozenset({"overloaded", "deadline_passed"})
REASONS = ("queue", "in_flight", "deadline")


class Turnstile:
    """Lets requests in, or says why not.

    Args:
        config: The limits.
        monotonic: Seconds that never go back.
        metrics: Counts refusals; shows how many requests are open, once a turn.
        soon: Calls a function in the loop's next turn, before what arrives then.
    """

    def __init__(
        self,
        config: ServeConfig,
        monotonic: Callable[[], float],
        metrics: Metrics,
        soon: Soon,
    ) -> None:
        self._most_open = config.max_in_flight
        self._most_seconds = config.max_wait_ms / 1e3
        self._monotonic = monotonic
        self._soon = soon
        self._show = metrics.setter("ml_requests_in_flight")
        self._shed = {
            reason: metrics.counter("ml_requests_shed_total", reason=reason) for reason in REASONS
        }
        self._began: float | None = None
        self._open = 0
        self._shown = 0

    def enter(self) -> float:
        """Let a request in; each that was let in must leave. The time now.

        Raises:
            Unavailable: it has waited too long already, or too many are open (``overloaded``).
        """
        now = self._monotonic()
        if self._began is None:
            self._begin(now)
        elif now - self._began > self._most_seconds:
            raise self._refusal("queue", "More requests are waiting than can be answered in time.")
        if self._open >= self._most_open:
            raise self._refusal("in_flight", f"{self._open} requests are in flight already.")
        self._open += 1
        return now

    def leave(self) -> None:
        """A request that was let in is answered."""
        self._open -= 1
        if self._began is None:
            self._begin(self._monotonic())

    def in_time(self, deadline_ms: float | None) -> None:
        """Refuse work for somebody who has stopped waiting.

        Raises:
            Unavailable: the request's deadline passed while it waited (``deadline_passed``).
        """
        if deadline_ms is None or self._began is None:
            return
        if self._monotonic() - self._began >= deadline_ms / 1e3:
            raise self._refusal(
                "deadline",
                f"The deadline of {deadline_ms:g} ms passed while the request waited.",
                code="deadline_passed",
            )

    def _begin(self, now: float) -> None:
        self._began = now
        self._soon(self._turned)

    def _turned(self) -> None:
        self._began = None
        if self._shown != self._open:
            self._shown = self._open
            self._show(self._open)

    def _refusal(self, reason: str, message: str, code: str = "overloaded") -> Unavailable:
        self._shed[reason](1.0)
        return Unavailable(message, code=code, hint="Wait as Retry-After says, and try again.")
