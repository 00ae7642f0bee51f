"""What requests are counted by: every label value resolved once, not once a request."""

from __future__ import annotations

from collections.abc import Callable

from trimtab.telemetry import UNKNOWN, Metrics

Add = Callable[[float], None]
Call = Callable[[], None]

SHED_STATUS = 503
"""Refusals are made in thousands when there is no time, and counted when there is."""

TALLY_SECONDS = 0.01
"""How long a value may wait to be shown: all that a killed worker's histograms can lack."""


class Tally:
    """Puts calls off and makes them together: a histogram is a file in memory, and writing it has its price.

    Args:
        later: Calls a function after so many seconds.
        seconds: How long a call is put off at most.
    """

    def __init__(
        self, later: Callable[[float, Call], object], seconds: float = TALLY_SECONDS
    ) -> None:
        self._later = later
        self._seconds = seconds
        self._calls: list[Call] = []
        self._due = False

    def soon(self, call: Call) -> None:
        """Put off a call."""
        self._calls.append(call)
        if not self._due:
            self._due = True
            self._later(self._seconds, self._end)

    def settle(self) -> None:
        """Make all calls that were put off, now."""
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def _end(self) -> None:
        self._due = False
        self.settle()


class Meters:
    """Counts requests, and times those that were answered.

    Args:
        metrics: Where they are counted.
        known: Whether a model of that name is live; a name that nothing bears must not become a
            label value, since anybody can make up any number of them.
    """

    def __init__(self, metrics: Metrics, known: Callable[[str], bool]) -> None:
        self._metrics = metrics
        self._known = known
        self._codes: dict[tuple[str, int], Add] = {}
        self._live: dict[str, tuple[Callable[..., None], Add]] = {}

    def answered(self, model: str, status: int, requests: int = 1) -> None:
        """Count requests by their status."""
        if not requests:
            return
        label = model if self._known(model) else UNKNOWN
        add = self._codes.get((label, status))
        if add is None:
            later = status == SHED_STATUS
            add = self._metrics.counter("ml_requests_total", later=later, model=label, code=status)
            self._codes[label, status] = add
        add(float(requests))

    def took(self, model: str, *seconds: float) -> None:
        """Note how long a live model's answers took, each whole."""
        self._of(model)[0](*seconds)

    def told(self, model: str, *seconds: float) -> None:
        """Count requests that a live model answered, and note how long that took."""
        observe, add = self._live.get(model) or self._of(model)
        observe(*seconds)
        add(len(seconds))

    def _of(self, model: str) -> tuple[Callable[..., None], Add]:
        if model not in self._live:
            self._live[model] = (
                self._metrics.observer("ml_prediction_duration_seconds", model=model),
                self._metrics.counter("ml_requests_total", model=model, code=200),
            )
        return self._live[model]
