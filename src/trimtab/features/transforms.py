"""Features computed for each request, behind those that stores and requests bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab.errors import InvalidRow
from trimtab.features.steps import PlannedTransform
from trimtab.features.views import FeaturePlan
from trimtab.protocols import FeatureResolver
from trimtab.telemetry import Metrics
from trimtab.types import Provenance, Resolved, Scalar, Signature

_WEAKEST = "dbrq"  # of a transform's inputs the weakest source is its own
_MISSING = Provenance.MISSING.code
_REQUEST = Provenance.REQUEST.code
_DEFAULT = Provenance.DEFAULT.code


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
    inputs', its age the largest.

    Args:
        inner: Resolves what ``plan.stored(signature)`` takes.
        plan: The model's views and transforms.
        signature: What the model takes.
        metrics: Refused outputs are counted.
    """

    def __init__(
        self, inner: FeatureResolver, plan: FeaturePlan, signature: Signature, metrics: Metrics
    ) -> None:
        self._inner = inner
        self._steps = plan.transforms
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
        stored = await self._inner.resolve(
            [[row[at] for at in self._taken] for row in rows], entities, event_times, deadline_ms
        )
        return [
            self._finish(row, found, i)
            for i, (row, found) in enumerate(zip(rows, stored, strict=True))
        ]

    def _finish(self, row: Sequence[Scalar], found: Resolved, index: int) -> Resolved:
        values = [None if value != value else value for value in row]  # noqa: PLR0124 - NaN
        values += [None] * self._extra
        sources = [_MISSING if value is None else _REQUEST for value in values]
        ages: list[float | None] = [None] * len(values)
        for place, at in enumerate(self._taken):
            values[at] = found.values[place]
            sources[at] = found.sources[place]
            ages[at] = found.ages_seconds[place]
        for step in self._steps:
            if values[step.output.index] is None:
                self._compute(step, values, sources, ages, index)
        width = len(self._specs)
        return Resolved(
            values=tuple(values[:width]),
            sources="".join(sources[:width]),
            ages_seconds=tuple(ages[:width]),
        )

    def _compute(
        self,
        step: PlannedTransform,
        values: list[Scalar],
        sources: list[str],
        ages: list[float | None],
        row: int,
    ) -> None:
        at = step.output.index
        try:
            values[at] = apply_step(step, values)
        except ValueError:
            self._metrics.count(
                "ml_feature_refused_total", view=step.view, feature=step.output.name
            )
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
