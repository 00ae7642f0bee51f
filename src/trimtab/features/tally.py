"""What the features of one model's view came from, counted cheaply."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from trimtab.features.views import PlannedView
from trimtab.telemetry import Metrics
from trimtab.types import Provenance, Resolved


class Tally:
    """Counts the sources of a view's features, their ages and the deadlines missed.

    Args:
        model: For the metrics' label.
        view: Which features.
        metrics: Where to count.
    """

    def __init__(self, model: str, view: PlannedView, metrics: Metrics) -> None:
        self._places = tuple(feature.index for feature in view.features)
        self._model = model
        self._view = view.name
        self._metrics = metrics
        self._counters: dict[str, Callable[[float], None]] = {}
        self._age = metrics.observer("ml_feature_age_seconds", model=model, view=view.name)

    def count(self, answers: Sequence[Resolved]) -> None:
        """Count where the view's values came from."""
        counts: dict[str, int] = {}
        for sources, rows in Counter([answer.sources for answer in answers]).items():
            codes = [sources[place] for place in self._places]
            for code in set(codes):
                counts[code] = counts.get(code, 0) + rows * codes.count(code)
        for code, values in counts.items():
            counter = self._counters.get(code)
            if counter is None:
                counter = self._counters[code] = self._metrics.counter(
                    "ml_feature_source_total",
                    model=self._model,
                    view=self._view,
                    source=Provenance.of(code).value,
                )
            counter(values)

    def age(self, seconds: float) -> None:
        """Note the oldest stored value of a request."""
        self._age(seconds)

    def missed(self) -> None:
        """Count a request whose deadline passed before a read was done."""
        self._metrics.count("ml_feature_deadline_misses_total", model=self._model, view=self._view)
