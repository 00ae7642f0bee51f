"""What requests are counted by: every label value resolved once, not once a request."""

from __future__ import annotations

from collections.abc import Callable

from trimtab.telemetry import UNKNOWN, Metrics

Add = Callable[[float], None]


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
        self._seconds: dict[str, Add] = {}

    def answered(self, model: str, status: int) -> None:
        """Count a request by its status."""
        label = model if self._known(model) else UNKNOWN
        add = self._codes.get((label, status))
        if add is None:
            add = self._metrics.counter("ml_requests_total", model=label, code=status)
            self._codes[label, status] = add
        add(1.0)

    def took(self, model: str, seconds: float) -> None:
        """Note how long a live model's answer took, whole."""
        observe = self._seconds.get(model)
        if observe is None:
            observe = self._metrics.observer("ml_prediction_duration_seconds", model=model)
            self._seconds[model] = observe
        observe(seconds)
