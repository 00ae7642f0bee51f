"""A window's estimated metrics against the held-out ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab.config import PerformanceConfig
from trimtab.performance.comparer import METRICS, SEGMENT_METRICS, comparison, in_order
from trimtab.performance.estimated.estimator import Estimator, OwnError, Predicted, estimate
from trimtab.types import Comparison, Window

WARNING = (
    "This holds if outcomes still follow from the features as they did when the model was held out; "
    "only outcomes can check that."
)
_SEGMENT_ROWS = 30


class EstimatedComparer:
    """Compares what a window will probably show with the held-out figures.

    As ``PerformanceComparer``, with estimates: every comparison is marked as one, has its interval, and
    names the estimator's own error on held-out blocks.

    Args:
        reference_metrics: A version's ``metrics``.
        estimator: What was learned from its held-out rows.
        config: What else is measured.
        segments: Held-out figures by segment.
    """

    def __init__(
        self,
        reference_metrics: Mapping[str, float],
        estimator: Estimator,
        config: PerformanceConfig = PerformanceConfig(),  # noqa: B008 - frozen
        segments: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self._reference = dict(reference_metrics)
        self._estimator = estimator
        self._config = config
        self._segments = dict(segments or {})

    def compare(self, window: Window) -> Sequence[Comparison]:
        """One comparison a metric that can be estimated; then those of segments."""
        predicted: Predicted = window.content
        found = self._compared(predicted, self._reference, tuple(METRICS), "")
        for segment, part in predicted.segments.items():
            figures = self._segments.get(segment, {})
            found += self._compared(part, figures, SEGMENT_METRICS[part.task], segment)
        return found

    def _compared(
        self,
        predicted: Predicted,
        figures: Mapping[str, float],
        names: Sequence[str],
        segment: str,
    ) -> list[Comparison]:
        found = estimate(predicted, self._estimator, figures, self._config)
        return [
            comparison(
                name,
                metric,
                found[name],
                figures,
                _words(predicted, self._estimator.errors.get(name)),
                judged=not segment or predicted.predictions >= _SEGMENT_ROWS,
                segment=segment,
                estimated=True,
            )
            for name, metric in in_order(found)
            if name in names
        ]


def _words(predicted: Predicted, own: OwnError | None) -> str:
    said = f"from {predicted.predictions:,} predictions without outcomes"
    return (
        said if own is None else f"{said}; on held-out rows it was off by {own.mean_absolute:.2g}"
    )
