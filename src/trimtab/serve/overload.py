"""Early refusal: what a worker cannot answer in time, it says so at once.

A request that has waited longer than ``max_wait_ms`` shows that there are more of them than can be answered
in time. The lane's requests stand in line (:mod:`trimtab.serve.line`), which knows since when. Of all others, the
time since the turn of the event loop began in which they are looked at is the least that they have waited.
Requests that wait for something else, such as a feature store, are bounded by their number.
"""

from __future__ import annotations

from collections.abc import Callable

from trimtab.config import ServeConfig
from trimtab.errors import Unavailable
from trimtab.telemetry import Metrics

Soon = Callable[[Callable[[], None]], object]
"""Calls a function in the loop's next turn."""

SHED_CODES = frozenset({"overloaded", "deadline_passed"})
REASONS = ("queue", "in_flight", "deadline", "gone")
AGAIN = "Wait as Retry-After says, and try again."


class Turnstile:
    """Lets requests in, or says why not.

    Args:
        config: The limits.
        monotonic: Seconds that never go back.
        metrics: Counts refusals; shows how many requests are open, when there is time.
        soon: Calls a function in the loop's next turn, before what arrives then.
        later: Calls one when there is time; as ``soon`` if None.
    """

    def __init__(
        self,
        config: ServeConfig,
        monotonic: Callable[[], float],
        metrics: Metrics,
        soon: Soon,
        later: Soon | None = None,
    ) -> None:
        self._most_open = config.max_in_flight
        self._most_seconds = config.max_wait_ms / 1e3
        self.monotonic = monotonic
        self.arrived: float | None = None
        """When the request came that is let in now; None if the turn's beginning is all that is known."""

        self._soon = soon
        self._later = later or soon
        self._show = metrics.setter("ml_requests_in_flight")
        self._shed = {
            reason: metrics.counter("ml_requests_shed_total", later=True, reason=reason)
            for reason in REASONS
        }
        self._began: float | None = None
        self._open = 0
        self._shown = True

    @property
    def full(self) -> bool:
        """Whether no more requests may be open."""
        return self._open >= self._most_open

    def late(self, arrived: float, now: float) -> bool:
        """Whether a request that came then has waited too long."""
        return now - arrived > self._most_seconds

    def enter(self) -> float:
        """Let a request in; each that was let in must leave. The time now.

        Raises:
            Unavailable: it has waited too long already, or too many are open (``overloaded``).
        """
        now = self.monotonic()
        if self._began is None:
            self._begin(now)
        if self.arrived is None and self._began is not None and self.late(self._began, now):
            raise self._refused("queue")
        if self.full:
            raise self._refused("in_flight")
        self._count(1)
        return now

    def leave(self) -> None:
        """A request that was let in is answered."""
        self._count(-1)
        if self._began is None:
            self._begin(self.monotonic())

    def let_in(self, requests: int) -> bool:
        """Let in several that are not late; False where there is no room for all: each is to enter alone then."""
        if self._open + requests > self._most_open:
            return False
        self._count(requests)
        return True

    def let_out(self, requests: int) -> None:
        """Several that were let in together are answered."""
        self._count(-requests)

    def in_time(self, deadline_ms: float | None) -> None:
        """Refuse work for somebody who has stopped waiting.

        Raises:
            Unavailable: the request's deadline passed while it waited (``deadline_passed``).
        """
        since = self._began if self.arrived is None else self.arrived
        if deadline_ms is None or since is None:
            return
        if self.monotonic() - since >= deadline_ms / 1e3:
            self.shed("deadline")
            raise Unavailable(
                f"The deadline of {deadline_ms:g} ms passed while the request waited.",
                code="deadline_passed",
                hint=AGAIN,
            )

    def shed(self, reason: str) -> None:
        """Count a request that is not answered, for one of the reasons above."""
        self._shed[reason](1.0)

    def refusal(self, reason: str) -> Unavailable:
        """What is told to whom it is not let in."""
        message = "More requests are waiting than can be answered in time."
        if reason == "in_flight":
            message = f"{self._most_open} requests are in flight already."
        return Unavailable(message, code="overloaded", hint=AGAIN)

    def _refused(self, reason: str) -> Unavailable:
        self.shed(reason)
        return self.refusal(reason)

    def _begin(self, now: float) -> None:
        self._began = now
        self._soon(self._turned)

    def _turned(self) -> None:
        self._began = None

    def _count(self, requests: int) -> None:
        self._open += requests
        if self._shown:
            self._shown = False
            self._later(self._tell)

    def _tell(self) -> None:
        self._shown = True
        self._show(self._open)
