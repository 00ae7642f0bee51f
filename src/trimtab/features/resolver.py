"""Fills what a request leaves out: realtime, else batch, else default, feature by feature."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter, ne
from typing import NamedTuple, Protocol

from trimtab.config import FeaturesConfig
from trimtab.errors import InvalidRow
from trimtab.features.draft import REQUEST, Draft, Drafts, Finish, Layout
from trimtab.features.fill import Fill, Lacking
from trimtab.features.flight import Bell
from trimtab.features.guard import Guard
from trimtab.features.sheet import WORTH_A_SHEET, sheet_of
from trimtab.features.tally import Tally
from trimtab.features.values import PlannedFeature
from trimtab.features.views import FeaturePlan, PlannedView
from trimtab.protocols import Clock
from trimtab.telemetry import Metrics
from trimtab.types import FeatureKind, Provenance, Resolved, Scalar, Signature

_DEFAULT = Provenance.DEFAULT.code
_MISSING = Provenance.MISSING.code

_sources = attrgetter("sources")

_LAST_TURNS = 2
"""After a deadline at which the loop was held up, reads still get these turns: a reply that has come must be taken."""

_HELD_UP_SECONDS = 0.003
"""Timers of the loop are late by one or two milliseconds; by more it was held up."""


class Page(Protocol):
    """The rows of one request while they are filled."""

    def wants(self, layout: Layout, entities: Sequence[Mapping[str, str]]) -> Lacking | None:
        """What they want of a view; None if nothing."""
        ...

    def answers(self, finish: Finish) -> list[Resolved]:
        """All rows; ``finish`` gives a row what no view had."""
        ...


class Filled(NamedTuple):
    """Rows as far as they could be filled, and of rows that lack what they cannot do without, its place."""

    rows: Sequence[Resolved]
    lacking: Mapping[int, int]


class Resolver:
    """Fills one model's features within a deadline, whatever the stores do.

    All views are read side by side, each by a :class:`~trimtab.features.fill.Fill`. Without anything
    to wait for, ``resolve`` never suspends.

    Args:
        plan: The model's views.
        signature: The order of features, and which may be missing.
        stores: The guarded stores by name; share them between models.
        metrics: Counters.
        clock: Monotonic time.
        config: The longest deadline.
        model: For metrics.
    """

    def __init__(
        self,
        plan: FeaturePlan,
        signature: Signature,
        stores: Mapping[str, Guard],
        metrics: Metrics,
        clock: Clock,
        config: FeaturesConfig,
        model: str = "",
    ) -> None:
        self._plan = plan
        self._specs = signature.features
        self._stores = stores
        self._most_ms = config.deadline_ms
        self._metrics = metrics
        self._monotonic = clock.monotonic
        self._complete = (REQUEST * len(self._specs), (None,) * len(self._specs))
        self._optional = frozenset(at for at, spec in enumerate(self._specs) if spec.nullable)
        self._numbers = all(spec.kind is not FeatureKind.CATEGORICAL for spec in self._specs)
        self._defaults = {f.index: f.default for view in plan.views for f in view.features}
        self._layouts = [Layout(view, len(self._specs), self._refuse) for view in plan.views]
        self._tallies = [Tally(model, view, metrics) for view in plan.views]
        self._views = [*zip(self._layouts, self._tallies, strict=True)]

    def whole(self, row: Sequence[Scalar]) -> Resolved | None:
        """A row that nothing fills; None where :meth:`resolve` has more to do, or to count."""
        if self._tallies:
            return None
        sources, ages = self._complete
        if self._numbers and _all_numbers(row):
            return Resolved(values=tuple(row), sources=sources, ages_seconds=ages)
        if any(map(ne, row, row)):
            return None
        if None in row:
            if not self._optional.issuperset([at for at, value in enumerate(row) if value is None]):
                return None
            sources = "".join([_MISSING if value is None else REQUEST for value in row])
        return Resolved(values=tuple(row), sources=sources, ages_seconds=ages)

    async def resolve(
        self,
        rows: Sequence[Sequence[Scalar]],
        entities: Sequence[Mapping[str, str]],
        event_times: Sequence[float],
        deadline_ms: float,
        finish: Finish | None = None,
    ) -> Sequence[Resolved]:
        """Realtime, else batch, else default, feature by feature.

        Args:
            rows: Values in the signature's order; None and NaN are missing.
            entities: Entity keys by name, one mapping a row.
            event_times: Unix seconds, one a row; ages are counted from them.
            deadline_ms: The most this may take; the configured deadline bounds it.
            finish: Gives a row what no view had; None: its default, or the error below.

        Raises:
            InvalidRow: a feature without a default that no source has, named.
        """
        started = self._monotonic()
        until = started + min(deadline_ms, self._most_ms) / 1e3
        page: Page | None = None
        if len(rows) >= WORTH_A_SHEET:
            page = sheet_of(rows, event_times)
        page = page or Drafts(rows, event_times)
        if until > started:
            await self._read(page, entities, started, until)
        answers = page.answers(finish or self._finish)
        if self._tallies:
            found = _counted(answers)
            for tally in self._tallies:
                tally.count(found)
        return answers

    async def fill(
        self,
        rows: Sequence[Sequence[Scalar]],
        entities: Sequence[Mapping[str, str]],
        event_times: Sequence[float],
        deadline_ms: float,
    ) -> Filled:
        """As ``resolve``, for rows of several requests: each may be told of what it lacks by itself."""
        lacking: dict[int, int] = {}
        finish = partial(self._finish, lacking=lacking)
        found = await self.resolve(rows, entities, event_times, deadline_ms, finish)
        return Filled(found, lacking)

    async def each(
        self,
        rows: Sequence[Sequence[Scalar]],
        entities: Sequence[Mapping[str, str]],
        event_times: Sequence[float],
        deadline_ms: float,
    ) -> Sequence[Resolved | InvalidRow]:
        """As ``resolve``, for requests of one row each: that row, or what its request is refused with."""
        filled = await self.fill(rows, entities, event_times, deadline_ms)
        if not filled.lacking:
            return filled.rows
        refused = {row: self.unavailable(at, 0) for row, at in filled.lacking.items()}
        return [refused.get(row, found) for row, found in enumerate(filled.rows)]

    async def _read(
        self,
        page: Page,
        entities: Sequence[Mapping[str, str]],
        started: float,
        until: float,
    ) -> None:
        """Read all views side by side, and put into the rows what came in time."""
        bell = Bell()
        fills: list[Fill] = []
        for layout, tally in self._views:
            wants = page.wants(layout, entities)
            if wants is not None:
                fills.append(Fill(layout.view, tally, wants, bell, started, until))
        waiting: Sequence[Fill] = fills
        turns: int | None = None
        try:
            self._call(fills, bell)
            while waiting:
                now = self._monotonic()
                if now >= until and (turns := _last_turns(turns, now - until)):
                    turns -= 1
                    await asyncio.sleep(0)
                else:
                    waiting, look_at = _step(waiting, now)
                    if not waiting:
                        break
                    if self._call(waiting, bell):
                        turns = turns if turns is None else max(turns, 1)
                    else:
                        await bell.wait(look_at - now)
        finally:
            for fill in waiting:
                fill.stop()
        for fill in fills:
            fill.tell()

    def _call(self, fills: Sequence[Fill], bell: Bell) -> bool:
        """Ask each store at once what views want of it; whether any was asked. Of one alone the reply may be there at once."""
        callers: dict[str, list[Fill]] = {}
        for fill in fills:
            if fill.calls:
                callers.setdefault(fill.calls, []).append(fill)
        for name, group in callers.items():
            self._stores[name].start(group, bell, linger=len(callers) == 1)
        return bool(callers)

    def _finish(self, draft: Draft, index: int, lacking: dict[int, int] | None = None) -> Resolved:
        draft.open()
        if "" in draft.sources:
            self._complete_draft(draft, index, lacking)
        return Resolved(
            values=tuple(draft.values),
            sources="".join(draft.sources),
            ages_seconds=tuple(draft.ages),
        )

    def _complete_draft(self, draft: Draft, index: int, lacking: dict[int, int] | None) -> None:
        for at, source in enumerate(draft.sources):
            if source:
                continue
            default = self._defaults.get(at)
            if default is not None:
                draft.put(at, default, _DEFAULT, None)
                continue
            draft.sources[at] = _MISSING
            if not self._specs[at].nullable:
                if lacking is None:
                    raise self.unavailable(at, index)
                lacking.setdefault(index, at)

    def _refuse(self, view: PlannedView, feature: PlannedFeature) -> None:
        self._metrics.count("ml_feature_refused_total", view=view.name, feature=feature.name)

    def unavailable(self, at: int, row: int) -> InvalidRow:
        """What a row is refused with that lacks the feature at this place.

        Args:
            at: The feature's place in the signature.
            row: The row's place in its request.
        """
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


def _last_turns(turns: int | None, late_seconds: float) -> int:
    """How many more turns of the loop reads get; None if that was not asked before."""
    if turns is None:
        return _LAST_TURNS if late_seconds > _HELD_UP_SECONDS else 0
    return turns


def _step(fills: Sequence[Fill], now: float) -> tuple[list[Fill], float]:
    """Do what can be done now; what is not done yet, and when to look again at the latest."""
    waiting, look_at = [], math.inf
    for fill in fills:
        at = fill.step(now)
        if at is not None:
            waiting.append(fill)
            look_at = min(look_at, at)
    return waiting, look_at


def _counted(answers: Sequence[Resolved]) -> Mapping[str, int]:
    """How many rows have which sources."""
    if len(answers) == 1:
        return {answers[0].sources: 1}
    alike = set(map(_sources, answers))
    return {alike.pop(): len(answers)} if len(alike) == 1 else Counter(map(_sources, answers))


def _all_numbers(row: Sequence[Scalar]) -> bool:
    """Whether nothing is missing, where only numbers are due; their sum tells so sooner than each of them."""
    try:
        total: float = sum(row)  # type: ignore[arg-type]  # None raises
    except TypeError:
        return False
    return total == total  # noqa: PLR0124 - NaN
