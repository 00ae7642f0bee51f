"""Fills what a request leaves out: realtime, else batch, else default, feature by feature."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from operator import ne

from trimtab.config import FeaturesConfig
from trimtab.errors import InvalidRow
from trimtab.features.guard import Guard, Read, Rows
from trimtab.features.values import PlannedFeature
from trimtab.features.views import FeaturePlan, PlannedView
from trimtab.protocols import Clock
from trimtab.telemetry import Metrics
from trimtab.types import Provenance, Resolved, Scalar, Signature

_REQUEST = Provenance.REQUEST.code
_REALTIME = Provenance.REALTIME.code
_BATCH = Provenance.BATCH.code
_DEFAULT = Provenance.DEFAULT.code
_MISSING = Provenance.MISSING.code

_HEDGE_RATIO = 0.5


class _Draft:
    """One row while it is filled; ``""`` is the source of what is still missing."""

    __slots__ = ("ages", "event_time", "sources", "values")

    def __init__(self, row: Sequence[Scalar], event_time: float) -> None:
        self.values = [None if value != value else value for value in row]  # noqa: PLR0124 - NaN
        self.sources = ["" if value is None else _REQUEST for value in self.values]
        self.ages: list[float | None] = [None] * len(row)
        self.event_time = event_time

    def put(self, index: int, value: Scalar, source: str, age: float | None) -> None:
        self.values[index] = value
        self.sources[index] = source
        self.ages[index] = age


class _Want:
    """What one row wants of one view."""

    __slots__ = ("draft", "entity", "features")

    def __init__(self, draft: _Draft, entity: str, features: Sequence[PlannedFeature]) -> None:
        self.draft = draft
        self.entity = entity
        self.features = features


class Resolver:
    """Fills one model's features within a deadline, whatever the stores do.

    A view's realtime read starts at once and covers all rows. Its batch read starts as soon as the
    realtime one has failed, left something missing or too old, or cannot start; at the latest when
    half of the deadline has passed, so that a hanging store leaves time for it. Realtime
    values win whenever they come in time. Without anything to read, ``resolve`` never suspends.

    Args:
        plan: The model's views.
        signature: The order of features, and which may be missing.
        stores: The guarded stores by name; share them between models.
        metrics: Counters.
        clock: Monotonic time.
        config: The longest deadline.
    """

    def __init__(
        self,
        plan: FeaturePlan,
        signature: Signature,
        stores: Mapping[str, Guard],
        metrics: Metrics,
        clock: Clock,
        config: FeaturesConfig,
    ) -> None:
        self._plan = plan
        self._specs = signature.features
        self._stores = stores
        self._most_ms = config.deadline_ms
        self._metrics = metrics
        self._clock = clock
        self._complete = (_REQUEST * len(self._specs), (None,) * len(self._specs))
        self._defaults = {f.index: f.default for view in plan.views for f in view.features}

    async def resolve(
        self,
        rows: Sequence[Sequence[Scalar]],
        entities: Sequence[Mapping[str, str]],
        event_times: Sequence[float],
        deadline_ms: float,
    ) -> Sequence[Resolved]:
        """Realtime, else batch, else default, feature by feature.

        Args:
            rows: Values in the signature's order; None and NaN are missing.
            entities: Entity keys by name, one mapping a row.
            event_times: Unix seconds, one a row; ages are counted from them.
            deadline_ms: The most this may take; the configured deadline bounds it.

        Raises:
            InvalidRow: a feature without a default that no source has, named.
        """
        until = self._clock.monotonic() + min(deadline_ms, self._most_ms) / 1e3
        drafts = {
            index: _Draft(row, event_times[index])
            for index, row in enumerate(rows)
            if None in row or any(map(ne, row, row))
        }
        if drafts and self._plan.views:
            wants = [(view, _wants(view, drafts, entities)) for view in self._plan.views]
            fills = [self._fill(view, wanted, until) for view, wanted in wants if wanted]
            if len(fills) == 1:
                await fills[0]
            elif fills:
                async with asyncio.TaskGroup() as group:
                    for fill in fills:
                        group.create_task(fill)
        sources, ages = self._complete
        return [
            self._finish(drafts[index], index)
            if index in drafts
            else Resolved(values=tuple(row), sources=sources, ages_seconds=ages)
            for index, row in enumerate(rows)
        ]

    async def _fill(self, view: PlannedView, wants: list[_Want], until: float) -> None:
        """Read a view for all rows that want it, and put into the drafts what came in time."""
        left = until - self._clock.monotonic()
        if left <= 0:
            return
        keys = list(dict.fromkeys(want.entity for want in wants))
        realtime = self._start(view.realtime, view.name, keys)
        batch: Read | None = None
        try:
            await realtime.wait(left * _HEDGE_RATIO)
            if not realtime.done:
                batch = self._start(view.batch, view.name, keys)
                await realtime.wait(until - self._clock.monotonic())
            wants = self._put(view, wants, realtime.take(), _REALTIME, view.ttl_seconds)
            if wants:
                batch = batch or self._start(view.batch, view.name, keys)
                await batch.wait(until - self._clock.monotonic())
                self._put(view, wants, batch.take(), _BATCH, None)
        finally:
            realtime.stop()
            if batch is not None:
                batch.stop()

    def _start(self, store: str, view: str, keys: Sequence[str]) -> Read:
        return self._stores[store].start(view, keys) if store else Read()

    def _put(
        self, view: PlannedView, wants: list[_Want], rows: Rows, source: str, ttl: float | None
    ) -> list[_Want]:
        """Put stored values where they are wanted; what is still wanted after that."""
        rest = []
        for want in wants:
            row = rows.get(want.entity)
            age = 0.0 if row is None else max(0.0, want.draft.event_time - row.event_time)
            if row is None or (ttl is not None and age > ttl):
                rest.append(want)
                continue
            left = []
            for feature in want.features:
                value = self._conformed(view, feature, row.values.get(feature.name))
                if value is None or (source == _REALTIME and _stale(feature, age)):
                    left.append(feature)
                else:
                    want.draft.put(feature.index, value, source, age)
            if left:
                rest.append(_Want(want.draft, want.entity, left))
        return rest

    def _conformed(self, view: PlannedView, feature: PlannedFeature, value: object) -> Scalar:
        try:
            return feature.conform(value)
        except ValueError:
            self._metrics.count("ml_feature_refused_total", view=view.name, feature=feature.name)
            return None

    def _finish(self, draft: _Draft, index: int) -> Resolved:
        for at, source in enumerate(draft.sources):
            if source:
                continue
            default = self._defaults.get(at)
            if default is not None:
                draft.put(at, default, _DEFAULT, None)
            elif self._specs[at].nullable:
                draft.sources[at] = _MISSING
            else:
                raise self._unavailable(at, index)
        return Resolved(
            values=tuple(draft.values),
            sources="".join(draft.sources),
            ages_seconds=tuple(draft.ages),
        )

    def _unavailable(self, at: int, row: int) -> InvalidRow:
        name = self._specs[at].name
        views = [v for v in self._plan.views if any(f.index == at for f in v.features)]
        return InvalidRow(
            f"No source has the feature {name!r}, and it has no default.",
            code="feature_unavailable",
            path=f"rows[{row}].features.{name}",
            hint=(
                f"Send it, send an {views[0].entity!r} that the view {views[0].name!r} knows, or "
                "give it a default there."
                if views
                else "Send it: no view of this model provides it."
            ),
        )


def _stale(feature: PlannedFeature, age: float) -> bool:
    return feature.ttl_seconds is not None and age > feature.ttl_seconds


def _wants(
    view: PlannedView, drafts: Mapping[int, _Draft], entities: Sequence[Mapping[str, str]]
) -> list[_Want]:
    wants = []
    for index, draft in drafts.items():
        missing = [feature for feature in view.features if not draft.sources[feature.index]]
        entity = view.entity_of(entities[index]) if missing else None
        if entity is not None:
            wants.append(_Want(draft, entity, missing))
    return wants
