"""A window's metrics against the held-out ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import ndtr

from trimtab.performance.metrics import Estimate
from trimtab.performance.windows import Counted, measure
from trimtab.types import Comparison, Window

_LEAST_P = 1e-300
_EXPECTED_POSITIVE_PART = 1.0 / math.sqrt(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class Metric:
    """How one metric is judged.

    ``scale`` says what the effect is, always in [0, 1]: ``difference`` of two shares,
    ``relative`` 1 - reference / current of errors, ``loss`` 1 - exp(-difference) of log losses.
    ``floor`` is the smallest effect that matters.
    """

    statistic: str
    better: Literal["higher", "lower"]
    scale: Literal["difference", "relative", "loss"]
    floor: float


METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("proportion_z", "higher", "difference", 0.02),
    "roc_auc": Metric("delong_z", "higher", "difference", 0.02),
    "precision": Metric("proportion_z", "higher", "difference", 0.05),
    "recall": Metric("proportion_z", "higher", "difference", 0.05),
    "brier": Metric("mean_z", "lower", "difference", 0.01),
    "log_loss": Metric("mean_z", "lower", "loss", 0.02),
    "mae": Metric("mean_z", "lower", "relative", 0.05),
    "rmse": Metric("mean_z", "lower", "relative", 0.05),
}


class PerformanceComparer:
    """Compares a window's metrics with the held-out ones; only getting worse is an effect.

    z = harm / sqrt(se_current^2 + se_reference^2 + between^2), p = P(Z >= z). A reference whose
    standard error is not known is a sample too: it is given the window's spread at its own number
    of rows, or at the window's if that is not known either.

    Args:
        reference_metrics: A version's ``metrics``, best from ``evaluate``; may be empty.
    """

    def __init__(self, reference_metrics: Mapping[str, float]) -> None:
        self._reference = dict(reference_metrics)

    def compare(self, window: Window) -> Sequence[Comparison]:
        """One comparison a metric, in the order of ``METRICS``."""
        counted: Counted = window.content
        found = measure(counted)
        return [
            self._comparison(name, metric, found[name], counted)
            for name, metric in METRICS.items()
            if name in found
        ]

    def _comparison(
        self, name: str, metric: Metric, current: Estimate, counted: Counted
    ) -> Comparison:
        reference = self._reference.get(name)
        score, noise, p_value = 0.0, 0.0, None
        if reference is not None:
            sign = 1.0 if metric.better == "higher" else -1.0
            harm = sign * (reference - current.value)
            se = self._se(name, current)
            score = _effect(metric, harm, reference)
            noise = _effect(metric, _EXPECTED_POSITIVE_PART * se, reference)
            p_value = max(_LEAST_P, float(ndtr(-harm / se)) if se else float(harm <= 0.0))
        return Comparison(
            name=name,
            statistic=metric.statistic,
            score=score,
            noise_floor=noise,
            floor=metric.floor,
            p_value=p_value,
            words=_words(reference, current, counted),
            reference_value=reference,
            current_value=current.value,
            interval=(current.low, current.high),
        )

    def _se(self, name: str, current: Estimate) -> float:
        rows = self._reference.get("rows", current.rows)
        alike = current.se * math.sqrt(current.rows / max(rows, 1.0))
        reference = self._reference.get(f"{name}_se", alike)
        return math.hypot(current.se, reference, self._reference.get(f"{name}_between", 0.0))


def _effect(metric: Metric, harm: float, reference: float) -> float:
    """Harm on the common scale, in [0, 1]."""
    if harm <= 0.0:
        return 0.0
    if metric.scale == "relative":
        return harm / (reference + harm)
    if metric.scale == "loss":
        return 1.0 - math.exp(-harm)
    return min(harm, 1.0)


def _words(reference: float | None, current: Estimate, counted: Counted) -> str:
    was = f"{reference:.3g} → " if reference is not None else ""
    known = f"{counted.outcomes:,} of {counted.predictions:,} outcomes known"
    return f"{was}{current.value:.3g} ({current.low:.3g} to {current.high:.3g}; {known})"
