"""Features computed for each request, behind those that stores and requests bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab.config import FeaturesConfig
from trimtab.errors import InvalidRow
from trimtab.features.breaker import Breaker
from trimtab.features.steps import PlannedTransform
from trimtab.features.views import FeaturePlan
from trimtab.protocols import Clock, FeatureResolver
from trimtab.telemetry import Metrics
from trimtab.types import Provenance, Resolved, Scalar, Signature

_WEAKEST = "dbrq"  # of a transform's inputs the weakest source is its own
_MISSING = Provenance.MISSING.code
_REQUEST = Provenance.REQUEST.code
_DEFAULT = Provenance.DEFAULT.code
_SLOW_RATIO, _SLOW_SECONDS = 0.1, 0.005
"""A call that takes more than this part of the deadline, and so long, is too slow for an event loop."""

_LEAST_RATIO = 0.05
"""The part of its deadline that a request's transforms have even where stores took all of it."""


def apply_step(step: PlannedTransform, values: Sequence[Scalar] | Mapping[int, Scalar]) -> Scalar:
    """One transform on one row; offline and online alike.

    Args:
        step: The transform.
        values: The row's values by their places; None is missing.

    Returns:
        The output, or None if an input is missing.

    Raises:
        ValueError: the function raised, or its answer is not what its view allows.
    """
    taken = [values[at] for at in step.inputs]
    if None in taken and not step.takes_missing:
        return None
    try:
        found = step.function(*taken)
    except Exception as wrong:
        message = f"{type(wrong).__name__}: {wrong}"
        raise ValueError(message) from wrong
    return step.output.conform(found)


class TransformingResolver:
    """A resolver whose values some transforms follow; what fails is refused to its default.

    What a request brings itself is not computed. A transform's provenance is the weakest of its
    inputs', its age the largest. Functions run on the event loop, where a call cannot be interrupted: once
    the deadline has passed none is called any more, and one that is slow again and again is left
    alone by a breaker, as a store is.

    Args:
        inner: Resolves what ``plan.stored(signature)`` takes.
        plan: The model's views and transforms.
        signature: What the model takes.
        metrics: Refused outputs are counted.
        clock: Monotonic time.
        config: The longest deadline, and the bounds of the breakers.
    """

    def __init__(
        self,
        inner: FeatureResolver,
        plan: FeaturePlan,
        signature: Signature,
        metrics: Metrics,
        clock: Clock,
        config: FeaturesConfig,
    ) -> None:
        self._inner = inner
        self._steps = [
            (step, Breaker(f"{step.view}.{step.output.name}", metrics, clock, config))
            for step in plan.transforms
        ]
        self._clock = clock
        self._most_seconds = config.deadline_ms / 1e3
        self._slow_seconds = max(_SLOW_SECONDS, self._most_seconds * _SLOW_RATIO)
        self._specs = signature.features
        self._metrics = metrics
        made = {step.output.name for step in plan.transforms}
        width = len(signature.features) + len(plan.inputs)
        self._taken = tuple(
            at for at in range(width) if at >= len(self._specs) or self._specs[at].name not in made
        )
        self._extra = sum(step.output.index >= width for step in plan.transforms)

    async def resolve(
        self,
        rows: Sequence[Sequence[Scalar]],
        entities: Sequence[Mapping[str, str]],
        event_times: Sequence[float],
        deadline_ms: float,
    ) -> Sequence[Resolved]:
        """Realtime, else batch, else default; then transforms; feature by feature.

        Raises:
            InvalidRow: a feature without a default that nothing gives, named.
        """
        started = self._clock.monotonic()
        seconds = min(deadline_ms / 1e3, self._most_seconds)
        stored = await self._inner.resolve(
            [[row[at] for at in self._taken] for row in rows], entities, event_times, deadline_ms
        )
        until = max(started + seconds, self._clock.monotonic() + seconds * _LEAST_RATIO)
        return [
            self._finish(row, found, i, until)
            for i, (row, found) in enumerate(zip(rows, stored, strict=True))
        ]

    def _finish(self, row: Sequence[Scalar], found: Resolved, index: int, until: float) -> Resolved:
        values = [None if value != value else value for value in row]  # noqa: PLR0124 - NaN
        values += [None] * self._extra
        sources = [_MISSING if value is None else _REQUEST for value in values]
        ages: list[float | None] = [None] * len(values)
        for place, at in enumerate(self._taken):
            values[at] = found.values[place]
            sources[at] = found.sources[place]
            ages[at] = found.ages_seconds[place]
        for step, breaker in self._steps:
            if values[step.output.index] is None:
                values[step.output.index] = self._computed(step, breaker, values, until)
                self._explain(step, values, sources, ages, index)
        width = len(self._specs)
        return Resolved(
            values=tuple(values[:width]),
            sources="".join(sources[:width]),
            ages_seconds=tuple(ages[:width]),
        )

    def _computed(
        self, step: PlannedTransform, breaker: Breaker, values: Sequence[Scalar], until: float
    ) -> Scalar:
        """What the function answers; None if that is refused, or it may not be called now."""
        now = self._clock.monotonic()
        found: Scalar = None
        if now < until and breaker.allow():
            try:
                found = apply_step(step, values)
            except ValueError:
                self._metrics.count(
                    "ml_feature_refused_total", view=step.view, feature=step.output.name
                )
            taken = self._clock.monotonic() - now
            if taken > self._slow_seconds:
                breaker.failed(f"the transform took {taken * 1e3:.0f} ms on the event loop")
            else:
                breaker.succeeded()
        return found

    def _explain(
        self,
        step: PlannedTransform,
        values: list[Scalar],
        sources: list[str],
        ages: list[float | None],
        row: int,
    ) -> None:
        """Where an output came from and how old it is, or what stands in for it."""
        at = step.output.index
        if values[at] is not None:
            sources[at] = min(
                (sources[i] for i in step.inputs if sources[i] != _MISSING),
                key=_WEAKEST.index,
                default=_REQUEST,
            )
            ages[at] = max((age for i in step.inputs if (age := ages[i]) is not None), default=None)
        elif step.output.default is not None:
            values[at], sources[at] = step.output.default, _DEFAULT
        elif at < len(self._specs) and not self._specs[at].nullable:
            raise InvalidRow(
                f"The feature {step.output.name!r} could not be computed, and has no default.",
                code="feature_unavailable",
                path=f"rows[{row}].features.{step.output.name}",
                hint=f"Send it, or what it is computed from; or give it a default in {step.view!r}.",
            )
