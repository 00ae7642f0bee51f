"""One row while it is filled, what it still wants of a view, and where a view's features stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from operator import ge, le
from sys import float_info

from trimtab.features.values import PlannedFeature
from trimtab.features.views import PlannedView
from trimtab.types import FeatureKind, Provenance, Resolved, Scalar, StoredRow

REQUEST = Provenance.REQUEST.code
REALTIME = Provenance.REALTIME.code
_FLOATS = {float}

Refuse = Callable[[PlannedView, PlannedFeature], None]


class Draft:
    """A row's values, with their sources and ages; ``""`` is the source of what is missing.

    ``answer`` is there at once for a row that one stored row fills whole.
    """

    __slots__ = ("ages", "answer", "empty", "event_time", "sources", "values")

    def __init__(self, row: Sequence[Scalar], event_time: float) -> None:
        size = len(row)
        self.empty = row.count(None) == size
        if self.empty:
            self.values: list[Scalar] = [None] * size
            self.sources = [""] * size
        else:
            self.values = [None if value != value else value for value in row]  # noqa: PLR0124 - NaN
            self.sources = ["" if value is None else REQUEST for value in self.values]
        self.ages: list[float | None] = [None] * size
        self.answer: Resolved | None = None
        self.event_time = event_time

    def put(self, index: int, value: Scalar, source: str, age: float | None) -> None:
        """Fill one place."""
        self.values[index] = value
        self.sources[index] = source
        self.ages[index] = age


class Want:
    """What one row wants of one view."""

    __slots__ = ("draft", "entity", "features")

    def __init__(self, draft: Draft, entity: str, features: Sequence[PlannedFeature]) -> None:
        self.draft = draft
        self.entity = entity
        self.features = features


class Layout:
    """A view's features as they stand in a row, made once a model.

    Where all of them are plain numbers and none is there yet, a stored row is checked and placed as
    a whole; otherwise, and where that check fails, value by value.

    Args:
        view: The view.
        refuse: Told of each stored value that is not what its feature allows.
    """

    def __init__(self, view: PlannedView, refuse: Refuse) -> None:
        features = view.features
        places = [feature.index for feature in features]
        first = places[0] if places else 0
        together = places == list(range(first, first + len(places)))
        ttls = {feature.ttl_seconds for feature in features}
        self.view = view
        self._refuse = refuse
        self._names = tuple(feature.name for feature in features)
        self._span = slice(first, first + len(places)) if together else None
        self._whole = len(ttls) == 1 and all(
            feature.kind is FeatureKind.NUMERIC and not feature.allowed for feature in features
        )
        self._lows = tuple(feature.minimum for feature in features)
        self._highs = tuple(feature.maximum for feature in features)
        self._open = {*map(abs, self._lows), *map(abs, self._highs)} == {float_info.max}
        self._ttl = next(iter(ttls)) if len(ttls) == 1 else view.ttl_seconds

    def wanted(self, draft: Draft) -> Sequence[PlannedFeature]:
        """The view's features that the row lacks; ``view.features`` itself if it lacks all."""
        if draft.empty:
            return self.view.features
        sources = draft.sources
        missing = [feature for feature in self.view.features if not sources[feature.index]]
        return self.view.features if len(missing) == len(self.view.features) else missing

    def put(self, want: Want, row: StoredRow, source: str) -> Sequence[PlannedFeature]:
        """Fill a draft from a stored row; what it still lacks."""
        draft = want.draft
        age = max(0.0, draft.event_time - row.event_time)
        if source == REALTIME and self._ttl is not None and age > self._ttl:
            return want.features
        if want.features is self.view.features and self._whole:
            values = list(map(row.values.get, self._names))
            if set(map(type, values)) == _FLOATS and self._within(values):  # type: ignore[arg-type]  # floats
                self._place(draft, values, source, age)
                return ()
        lacking = []
        for feature in want.features:
            value = self._conformed(feature, row.values.get(feature.name))
            ttl = feature.ttl_seconds if source == REALTIME else None
            if value is None or (ttl is not None and age > ttl):
                lacking.append(feature)
            else:
                draft.put(feature.index, value, source, age)
        return lacking

    def _within(self, values: Sequence[float]) -> bool:
        """Whether all are finite and in their ranges; a sum that overflows is looked at closely."""
        if self._open:
            return isfinite(sum(values))
        return all(map(le, self._lows, values)) and all(map(ge, self._highs, values))

    def _place(self, draft: Draft, values: list[Scalar], source: str, age: float) -> None:
        size = len(values)
        if draft.empty and self._span is not None and size == len(draft.values):
            draft.answer = Resolved(
                values=tuple(values), sources=source * size, ages_seconds=(age,) * size
            )
        elif self._span is not None:
            draft.values[self._span] = values
            draft.sources[self._span] = [source] * len(values)
            draft.ages[self._span] = [age] * len(values)
        else:
            for feature, value in zip(self.view.features, values, strict=True):
                draft.put(feature.index, value, source, age)

    def _conformed(self, feature: PlannedFeature, value: object) -> Scalar:
        try:
            return feature.conform(value)
        except ValueError:
            self._refuse(self.view, feature)
            return None
