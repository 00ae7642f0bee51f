"""What the features of one model's view came from, counted cheaply."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from trimtab.features.views import PlannedView
from trimtab.telemetry import Metrics
from trimtab.types import Provenance

Counts = tuple[tuple[Callable[[float], None], int], ...]

_MOST_KNOWN = 1_000


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
        self._known: dict[str, Counts] = {}
        self.age = metrics.observer("ml_feature_age_seconds", model=model, view=view.name)
        """Notes the oldest stored value of a request, in seconds."""

    def count(self, found: Mapping[str, int]) -> None:
        """Count where the view's values came from, of so many rows with these sources."""
        for sources, rows in found.items():
            for counter, values in self._known.get(sources) or self._learn(sources):
                counter(rows * values)

    def _learn(self, sources: str) -> Counts:
        """Which counters a row of these sources moves, and by how much; remembered."""
        by_code = Counter(sources[place] for place in self._places)
        counts = tuple((self._counter(code), values) for code, values in by_code.items())
        if len(self._known) < _MOST_KNOWN:
            self._known[sources] = counts
        return counts

    def _counter(self, code: str) -> Callable[[float], None]:
        return self._metrics.counter(
            "ml_feature_source_total",
            model=self._model,
            view=self._view,
            source=Provenance.of(code).value,
        )

    def missed(self) -> None:
        """Count a request whose deadline passed before a read was done."""
        self._metrics.count("ml_feature_deadline_misses_total", model=self._model, view=self._view)
