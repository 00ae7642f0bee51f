"""A window's metrics against the held-out ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import ndtr

from trimtab.config import PerformanceConfig
from trimtab.performance.metrics import Estimate
from trimtab.performance.tally import Counted, measure
from trimtab.types import Comparison, Task, Window

_LEAST_P = 1e-300
_EXPECTED_POSITIVE_PART = 1.0 / math.sqrt(2.0 * math.pi)
_SEGMENT_ROWS = 30
_LEAST_REQUESTS = 30.0
_RANKINGS = ("ndcg", "mrr", "hit_rate")


@dataclass(frozen=True, slots=True)
class Metric:
    """How one metric is judged.

    ``scale`` says what the effect is, always in [0, 1]: ``difference`` of two shares,
    ``relative`` 1 - reference / current of errors, ``loss`` 1 - exp(-difference) of log losses.
    ``floor`` is the smallest effect that matters. What is not ``judged`` is only shown.
    """

    statistic: str
    better: Literal["higher", "lower"]
    scale: Literal["difference", "relative", "loss"]
    floor: float
    judged: bool = True


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("proportion_z", "higher", "difference", 0.02),
    "roc_auc": Metric("delong_z", "higher", "difference", 0.02),
    "precision": Metric("proportion_z", "higher", "difference", 0.05),
    "recall": Metric("proportion_z", "higher", "difference", 0.05),
    "f1": Metric("jackknife_z", "higher", "difference", 0.05),
    "pr_auc": Metric("jackknife_z", "higher", "difference", 0.05),
    "brier": Metric("mean_z", "lower", "difference", 0.01),
    "log_loss": Metric("mean_z", "lower", "loss", 0.02),
    "calibration_error": Metric("jackknife_z", "lower", "difference", 0.05, judged=False),
    "expected_cost": Metric("mean_z", "lower", "relative", 0.05),
    "mae": Metric("mean_z", "lower", "relative", 0.05),
    "rmse": Metric("mean_z", "lower", "relative", 0.05),
    "mape": Metric("mean_z", "lower", "relative", 0.05),
    "quantile_loss": Metric("mean_z", "lower", "relative", 0.05),
    "ndcg": Metric("mean_z", "higher", "difference", 0.02),
    "mrr": Metric("mean_z", "higher", "difference", 0.02),
    "hit_rate": Metric("proportion_z", "higher", "difference", 0.02),
}
SEGMENT_METRICS = {
    Task.BINARY: ("accuracy", "roc_auc", "brier"),
    Task.MULTICLASS: ("accuracy", "roc_auc"),
    Task.REGRESSION: ("mae",),
}


def is_ranking(name: str) -> bool:
    """Whether a figure is of rankings: of requests, and not of rows."""
    return name.startswith(_RANKINGS)


def in_order(found: Mapping[str, Estimate]) -> list[tuple[str, Metric]]:
    """The metrics that were found, in the order of ``METRICS``; ``ndcg_at_5`` is an ``ndcg``."""
    return [
        (name, metric)
        for family, metric in METRICS.items()
        for name in found
        if name.split("_at_")[0] == family
    ]


class PerformanceComparer:
    """Compares a window's metrics with the held-out ones; only getting worse is an effect.

    z = harm / sqrt(se_current^2 + se_reference^2 + between^2), p = P(Z >= z). A reference whose
    standard error is not known is a sample too: it is given the window's spread at its own number
    of rows, or at the window's if that is not known either. Segments are compared with the same
    segment's held-out rows.

    A window that closed before its outcomes had come, and whose known ones are no fair sample of its
    predictions by their scores, is shown and not judged.

    Args:
        reference_metrics: A version's ``metrics``, best from ``evaluate``; may be empty.
        config: What else is measured.
        segments: Held-out figures by segment.
    """

    def __init__(
        self,
        reference_metrics: Mapping[str, float],
        config: PerformanceConfig = PerformanceConfig(),  # noqa: B008 - frozen
        segments: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self._reference = dict(reference_metrics)
        self._config = config
        self._segments = dict(segments or {})

    def compare(self, window: Window) -> Sequence[Comparison]:
        """One comparison a metric, in the order of ``METRICS``; then those of segments."""
        counted: Counted = window.content
        fair = not (counted.partial and counted.selected())
        found = measure(counted, self._config)
        compared = [
            comparison(
                name,
                metric,
                found[name],
                self._reference,
                _words(counted),
                judged=fair and _enough(name, found[name]),
            )
            for name, metric in in_order(found)
        ]
        for segment, part in counted.segments.items():
            compared += self._segment(segment, part, fair=fair)
        return compared

    def _segment(self, segment: str, part: Counted, *, fair: bool) -> list[Comparison]:
        figures = self._segments.get(segment, {})
        found = measure(part, self._config)
        return [
            comparison(
                name,
                metric,
                found[name],
                figures,
                _words(part),
                judged=fair and part.outcomes >= _SEGMENT_ROWS and _enough(name, found[name]),
                segment=segment,
            )
            for name, metric in in_order(found)
            if name in SEGMENT_METRICS[part.task] or is_ranking(name)
        ]


def _enough(name: str, found: Estimate) -> bool:
    """Rankings are judged from 30 requests on."""
    return not is_ranking(name) or found.rows >= _LEAST_REQUESTS


def comparison(
    name: str,
    metric: Metric,
    current: Estimate,
    figures: Mapping[str, float],
    said: str,
    *,
    judged: bool = True,
    segment: str = "",
    estimated: bool = False,
) -> Comparison:
    """A metric's value against its held-out figure.

    Args:
        name: The metric's.
        metric: How it is judged.
        current: Its value on the window.
        figures: Held-out figures as from ``evaluate``.
        said: What else its words say, within their brackets.
        judged: Whether it has a p-value.
        segment: Which part of the rows it is of.
        estimated: Whether outcomes had no part in it.
    """
    reference = figures.get(name)
    score, noise, p_value = 0.0, 0.0, None
    if reference is not None:
        sign = 1.0 if metric.better == "higher" else -1.0
        harm = sign * (reference - current.value)
        se = _se(name, current, figures)
        score = _effect(metric, harm, reference)
        noise = _effect(metric, _EXPECTED_POSITIVE_PART * se, reference)
        if judged and metric.judged:
            p_value = max(_LEAST_P, float(ndtr(-harm / se)) if se else float(harm <= 0.0))
    was = f"{reference:.3g} → " if reference is not None else ""
    word = "estimated " if estimated else ""
    return Comparison(
        name=f"{name}, {segment}" if segment else name,
        statistic=metric.statistic,
        score=score,
        noise_floor=noise,
        floor=metric.floor,
        p_value=p_value,
        words=f"{was}{word}{current.value:.3g} ({current.low:.3g} to {current.high:.3g}; {said})",
        reference_value=reference,
        current_value=current.value,
        interval=(current.low, current.high),
        estimated=estimated,
        segment=segment,
    )


def _se(name: str, current: Estimate, figures: Mapping[str, float]) -> float:
    rows = figures.get("rows", current.rows)
    alike = current.se * math.sqrt(current.rows / max(rows, 1.0))
    reference = figures.get(f"{name}_se", alike)
    return math.hypot(current.se, reference, figures.get(f"{name}_between", 0.0))


def _effect(metric: Metric, harm: float, reference: float) -> float:
    """Harm on the common scale, in [0, 1]."""
    if harm <= 0.0:
        return 0.0
    if metric.scale == "relative":
        return harm / (abs(reference) + harm)
    if metric.scale == "loss":
        return 1.0 - math.exp(-harm)
    return min(harm, 1.0)


def _words(counted: Counted) -> str:
    return f"{counted.outcomes:,} of {counted.predictions:,} outcomes known"
