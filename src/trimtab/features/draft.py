"""Rows while they are filled one by one, what they still want of a view, and where its features stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from operator import ge, itemgetter, le, ne
from sys import float_info
from typing import Any

import numpy as np

from trimtab.features.block import Block
from trimtab.features.line import Head, Line
from trimtab.features.values import PlannedFeature
from trimtab.features.views import PlannedView
from trimtab.types import FeatureKind, Provenance, Resolved, Scalar, StoredRow

REQUEST = Provenance.REQUEST.code
REALTIME = Provenance.REALTIME.code
_FLOATS = {float}
_MOST_PICKS = 1_000

Pick = Callable[[Any], tuple[float, ...]]
"""Takes a line's values and gives a view's, in its order."""

Refuse = Callable[[PlannedView, PlannedFeature], None]


class Draft:
    """A row's values, with their sources and ages; ``""`` is the source of what is missing.

    ``answer`` is there at once for a row that one stored row fills whole; such a row is never opened.
    """

    __slots__ = ("_row", "ages", "answer", "empty", "event_time", "sources", "values")

    values: list[Scalar]
    sources: list[str]
    ages: list[float | None]

    def __init__(self, row: Sequence[Scalar], event_time: float) -> None:
        self.answer: Resolved | None = None
        self.event_time = event_time
        self.empty = row.count(None) == len(row)
        self._row: Sequence[Scalar] | None = row
        if not self.empty:
            self.open()

    def open(self) -> None:
        """Make room for values one by one; once."""
        row, self._row = self._row, None
        if row is None:
            return
        if self.empty:
            self.values, self.sources = [None] * len(row), [""] * len(row)
        else:
            self.values = [None if value != value else value for value in row]  # noqa: PLR0124 - NaN
            self.sources = ["" if value is None else REQUEST for value in self.values]
        self.ages = [None] * len(row)

    def put(self, index: int, value: Scalar, source: str, age: float | None) -> None:
        """Fill one place."""
        self.values[index] = value
        self.sources[index] = source
        self.ages[index] = age


Stock = tuple[Sequence[tuple[float, ...] | None], Sequence[float], bool]
"""Values and event times, one a row, and whether no values are missing."""

Finish = Callable[[Draft, int], Resolved]
"""Gives a row what no view had; ``int`` is its place in the request."""


Want = tuple[Draft, str, Sequence[PlannedFeature]]
"""What one row wants of one view: its draft, its entity, and the features that it lacks."""


class Wants:
    """What some rows want of one view.

    Args:
        layout: The view.
        wants: One a row, at least one.
    """

    __slots__ = ("_layout", "_wants", "entities")

    def __init__(self, layout: Layout, wants: Sequence[Want]) -> None:
        self._layout = layout
        self._wants = wants
        self.entities = (
            [wants[0][1]]
            if len(wants) == 1
            else [*dict.fromkeys([entity for _, entity, _ in wants])]
        )

    def take(self, rows: Mapping[str, StoredRow], source: str) -> tuple[Wants | None, float | None]:
        """Fill the rows; what is still wanted, and the oldest stored row's age."""
        layout = self._layout
        rest: list[Want] = []
        oldest: float | None = None
        ttl = layout.ttl if source == REALTIME else None
        for want in self._wants:
            draft, entity, features = want
            row = rows.get(entity)
            if row is None:
                rest.append(want)
                continue
            age = draft.event_time - row.event_time
            age = max(age, 0.0)
            if oldest is None or age > oldest:
                oldest = age
            if ttl is not None and age > ttl:
                rest.append(want)
            elif lacking := layout.fill(draft, features, row, source, age):
                rest.append((draft, entity, lacking))
        return Wants(layout, rest) if rest else None, oldest


class Drafts:
    """The rows of a request that lack something, one by one.

    Args:
        rows: Values in the signature's order.
        event_times: Unix seconds, one a row.
    """

    __slots__ = ("_drafts", "_rows")

    def __init__(self, rows: Sequence[Sequence[Scalar]], event_times: Sequence[float]) -> None:
        self._rows = rows
        self._drafts: dict[int, Draft] = {}
        for index, row in enumerate(rows):
            if None in row or any(map(ne, row, row)):
                self._drafts[index] = Draft(row, event_times[index])

    def wants(self, layout: Layout, entities: Sequence[Mapping[str, str]]) -> Wants | None:
        """What they want of a view; None if nothing."""
        return layout.wants(self._drafts, entities)

    def answers(self, finish: Finish) -> list[Resolved]:
        """All rows of the request, after each draft was finished."""
        answers = []
        for index, row in enumerate(self._rows):
            draft = self._drafts.get(index)
            if draft is None:
                answers.append(as_it_came(row))
            else:
                answers.append(draft.answer or finish(draft, index))
        return answers


def as_it_came(row: Sequence[Scalar]) -> Resolved:
    """A row that lacked nothing."""
    size = len(row)
    return Resolved(values=tuple(row), sources=REQUEST * size, ages_seconds=(None,) * size)


class Layout:
    """A view's features as they stand in a row, made once a model.

    Where all of them are plain numbers and none is there yet, a stored row is checked and placed as
    a whole; otherwise, and where that check fails, value by value.

    Args:
        view: The view.
        size: How many values a row of the model has.
        refuse: Told of each stored value that is not what its feature allows.
    """

    def __init__(self, view: PlannedView, size: int, refuse: Refuse) -> None:
        features = view.features
        places = tuple(feature.index for feature in features)
        first = places[0] if places else 0
        together = places == tuple(range(first, first + len(places)))
        ttls = {feature.ttl_seconds for feature in features}
        self.view = view
        self.places = places
        self._refuse = refuse
        self._names = tuple(feature.name for feature in features)
        self._span = slice(first, first + len(places)) if together else None
        self.is_row = together and len(places) == size
        self._whole = len(ttls) == 1 and all(
            feature.kind is FeatureKind.NUMERIC and not feature.allowed for feature in features
        )
        self._lows = tuple(feature.minimum for feature in features)
        self._highs = tuple(feature.maximum for feature in features)
        self._lowest, self._highest = np.array(self._lows), np.array(self._highs)
        self._open = {*map(abs, self._lows), *map(abs, self._highs)} == {float_info.max}
        self.ttl = next(iter(ttls)) if len(ttls) == 1 else view.ttl_seconds
        self._picks: dict[Head, Pick] = {}

    def wants(
        self, drafts: Mapping[int, Draft], entities: Sequence[Mapping[str, str]]
    ) -> Wants | None:
        """What rows lack of the view, as far as they name an entity of it; None if nothing."""
        entity_of, features = self.view.entity_of, self.view.features
        found = []
        for index, draft in drafts.items():
            missing = features if draft.empty else self._missing(draft)
            entity = entity_of(entities[index]) if missing else None
            if entity is not None:
                found.append((draft, entity, missing))
        return Wants(self, found) if found else None

    def fill(
        self,
        draft: Draft,
        features: Sequence[PlannedFeature],
        row: StoredRow,
        source: str,
        age: float,
    ) -> Sequence[PlannedFeature]:
        """Fill a draft from a stored row; which of the features it still lacks.

        Args:
            draft: The row that is filled.
            features: What it lacks; ``view.features`` itself if that is all of the view.
            row: What is stored, no older than the view's values may be.
            source: A provenance code.
            age: The stored row's, in seconds.
        """
        floats = self._floats(row.values) if self._whole and features is self.view.features else ()
        if floats:
            self.place(draft, floats, source, age)
            return ()
        return self._put(draft, features, row, source, age)

    def _missing(self, draft: Draft) -> Sequence[PlannedFeature]:
        """The view's features that a row lacks; ``view.features`` itself if it lacks all."""
        sources = draft.sources
        missing = [feature for feature in self.view.features if not sources[feature.index]]
        return self.view.features if len(missing) == len(self.view.features) else missing

    def stock(self, rows: Mapping[str, StoredRow], names: Sequence[str | None]) -> Stock:
        """The view's values of each named entity whose stored row can be placed as a whole."""
        if type(rows) is Block:
            values, complete = self._columns(rows)
            if rows.entities == names:
                return values, rows.times, complete
            held = dict(zip(rows.entities, zip(values, rows.times, strict=True), strict=True))
        else:
            floats = self._floats if self._whole else _nothing
            held = {e: (floats(row.values) or None, row.event_time) for e, row in rows.items()}
        get, nothing = held.get, (None, 0.0)
        found = [get(name, nothing) for name in names]  # type: ignore[arg-type]  # None is no entity
        values, times = zip(*found, strict=True)
        return values, times, None not in values

    def _columns(self, block: Block) -> tuple[Sequence[tuple[float, ...] | None], bool]:
        """The view's values of all rows of a table, None for one that needs a closer look; and if none does."""
        held = block.head.places
        if not self._whole or any(name not in held for name in self._names):
            return [None] * len(block), False
        table = block.table
        if self._names != block.head.names:
            table = table[:, [held[name] for name in self._names]]
        rows = list(map(tuple, table.tolist()))
        fine = np.isfinite(table)
        if not self._open:
            fine &= (table >= self._lowest) & (table <= self._highest)
        if fine.all():
            return rows, True
        kept: list[bool] = np.all(fine, axis=1).tolist()
        return [row if good else None for row, good in zip(rows, kept, strict=True)], False

    def place(self, draft: Draft, values: tuple[float, ...], source: str, age: float) -> None:
        """Fill the view's places with checked values."""
        size = len(values)
        if self.is_row and draft.empty:
            draft.answer = Resolved(
                values=values, sources=source * size, ages_seconds=(age,) * size
            )
            return
        draft.open()
        if self._span is not None:
            draft.values[self._span] = values
            draft.sources[self._span] = source * size
            draft.ages[self._span] = [age] * size
        else:
            for feature, value in zip(self.view.features, values, strict=True):
                draft.put(feature.index, value, source, age)

    def _floats(self, values: Any) -> tuple[float, ...]:
        """The view's values of a stored row, a mapping or a line, if all are floats and as they may be; else nothing."""
        floats: tuple[float, ...]
        if type(values) is Line:
            pick = self._picks.get(values.head) or self._learn(values.head)
            floats = pick(values.row)
        else:
            floats = tuple(map(values.get, self._names))
            if set(map(type, floats)) != _FLOATS:
                return ()
        if self._open:  # to any number; a sum that overflows is looked at closely
            return floats if isfinite(sum(floats)) else ()
        return floats if self._within(floats) else ()

    def _learn(self, head: Head) -> Pick:
        """How to take the view's values from a line of floats with this head; nothing if it cannot be."""
        pick: Pick = _nothing
        if head.floats and all(name in head.places for name in self._names):
            places = [head.places[name] for name in self._names]
            if places == list(range(len(head.names))):
                pick = tuple
            elif len(places) > 1:
                pick = itemgetter(*places)
        if len(self._picks) < _MOST_PICKS:
            self._picks[head] = pick
        return pick

    def _put(
        self,
        draft: Draft,
        features: Sequence[PlannedFeature],
        row: StoredRow,
        source: str,
        age: float,
    ) -> Sequence[PlannedFeature]:
        """Fill a draft value by value; what it still lacks."""
        draft.open()
        lacking = []
        get, realtime = row.values.get, source == REALTIME
        for feature in features:
            value = self._conformed(feature, get(feature.name))
            ttl = feature.ttl_seconds if realtime else None
            if value is None or (ttl is not None and age > ttl):
                lacking.append(feature)
            else:
                draft.put(feature.index, value, source, age)
        return lacking

    def _within(self, values: Sequence[float]) -> bool:
        """Whether all are finite and in their ranges."""
        return all(map(le, self._lows, values)) and all(map(ge, self._highs, values))

    def _conformed(self, feature: PlannedFeature, value: object) -> Scalar:
        try:
            return feature.conform(value)
        except ValueError:
            self._refuse(self.view, feature)
            return None


def _nothing(row: object) -> tuple[float, ...]:
    del row
    return ()
