"""Rows on their way into a store: checked as the view declares, newest first among equals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
import numpy as np

from trimtab.config import ViewConfig
from trimtab.errors import InvalidConfig, InvalidRow
from trimtab.features.values import PlannedFeature, is_text, join_keys
from trimtab.features.views import planned_feature
from trimtab.protocols import Clock, FeatureStore
from trimtab.types import FeatureKind, Record, StoredRow

BATCH_ROWS = 1_000
MAX_FUTURE_SECONDS = 300.0
_EXAMPLES = 5

Refuse = Callable[[str, str], None]


class Written(Record, frozen=True):
    """What became of rows that were sent.

    ``kept`` counts those that stand in the store now or did for a moment; the others were older than
    what stood there, or ``refused`` whole. ``values_refused`` counts values by feature that are not what
    the view declares; the rest of their row was kept. ``examples`` says of the first few why.
    """

    rows: int = 0
    kept: int = 0
    refused: int = 0
    values_refused: dict[str, int] = msgspec.field(default_factory=dict)
    examples: tuple[str, ...] = ()


class Tally:
    """Counts what becomes of rows.

    Args:
        told: Called with each of the first few refusals, as it happens.
    """

    def __init__(self, told: Callable[[str], None] = lambda example: None) -> None:  # noqa: ARG005 - nobody listens
        self._told = told
        self.rows = 0
        self.kept = 0
        self.refused = 0
        self._values: Counter[str] = Counter()
        self._examples: list[str] = []

    def row_refused(self, error: InvalidRow) -> None:
        """A row was refused whole."""
        self.refused += 1
        self._example(str(error))

    def value_refused(self, feature: str, reason: str) -> None:
        """A value was refused; its row goes on without it."""
        self._values[feature] += 1
        self._example(f"{feature}: {reason}")

    def written(self) -> Written:
        """The counts so far."""
        return Written(
            rows=self.rows,
            kept=self.kept,
            refused=self.refused,
            values_refused=dict(self._values),
            examples=tuple(self._examples),
        )

    def _example(self, text: str) -> None:
        if len(self._examples) < _EXAMPLES:
            self._examples.append(text)
            self._told(text)


class RowReader:
    """Makes stored rows of mappings, as a view declares them; compiled once.

    Args:
        view: The definition.
        clock: An event more than five minutes ahead of it is refused: it would stand in the way of
            every later one.
        time_column: Where event times stand; None takes the clock's time.
        keys: Where the view's keys stand, in order; their own names unless named.
    """

    def __init__(
        self,
        view: ViewConfig,
        clock: Clock,
        time_column: str | None = None,
        keys: Sequence[str] = (),
    ) -> None:
        self._keys = tuple(keys) or view.keys
        self._time = time_column
        self._clock = clock
        self._features: tuple[PlannedFeature, ...] = tuple(
            planned_feature(i, FeatureKind(feature.kind), feature, view)
            for i, feature in enumerate(view.features)
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The names that a row must have."""
        times = () if self._time is None else (self._time,)
        names = (feature.name for feature in self._features)
        return tuple(dict.fromkeys((*self._keys, *names, *times)))

    def read(self, raw: Mapping[str, Any], path: str, refuse: Refuse) -> tuple[str, StoredRow]:
        """One row's entity and what is to be stored of it.

        Args:
            raw: Values by name; features that are absent or None are missing.
            path: Where the row stands, for the error.
            refuse: Told of each value that is not what the view declares, and why.

        Raises:
            InvalidRow: a key or the event time is missing or cannot be one, or there is no feature of the
                view: the row would only take away what is known.
        """
        entity = join_keys(tuple(_key(raw.get(key), f"{path}.{key}") for key in self._keys))
        values = {}
        for feature in self._features:
            value = raw.get(feature.name)
            try:
                served = feature.conform(value)
            except ValueError as wrong:
                refuse(feature.name, f"{_short(value)} is {wrong}")
                continue
            if served is not None:
                values[feature.name] = served
        if not values and not any(feature.name in raw for feature in self._features):
            raise InvalidRow(
                "The row has no feature of the view.",
                code="no_feature",
                path=path,
                hint=f"Its features: {', '.join(feature.name for feature in self._features)}.",
            )
        return entity, StoredRow(values=values, event_time=self._event_time(raw, path))

    def _event_time(self, raw: Mapping[str, Any], path: str) -> float:
        now = self._clock.now()
        if self._time is None:
            return now
        at = f"{path}.{self._time}"
        seconds = unix_seconds(raw.get(self._time))
        if seconds is None or not 0 <= seconds <= now + MAX_FUTURE_SECONDS:
            raise InvalidRow(
                f"The event time {_short(raw.get(self._time))} is no time, or lies in the future.",
                code="event_time_out_of_range",
                path=at,
                hint="Send Unix seconds or a timestamp, in UTC.",
            )
        return seconds


async def write_rows(
    store: FeatureStore,
    view: str,
    rows: Iterable[Mapping[str, Any]],
    reader: RowReader,
    tally: Tally,
    batch_rows: int = BATCH_ROWS,
) -> None:
    """Write rows to a store in batches; of one entity's rows in a batch the newest is sent.

    Whatever order rows come in, and however often, the newest event of an entity stands in the end; of
    two at the same time, the later row.

    Raises:
        InvalidRow: ``rows`` itself ended so; the rows before are written.
        Unavailable: the store cannot be reached; what was written before stays.
    """
    waiting = iter(rows)
    ended: InvalidRow | None = None
    while ended is None:
        batch, ended = _next(waiting, batch_rows)
        if not batch:
            break
        newest: dict[str, StoredRow] = {}
        for raw in batch:
            try:
                entity, row = reader.read(raw, f"rows[{tally.rows}]", tally.value_refused)
            except InvalidRow as wrong:
                tally.row_refused(wrong)
            else:
                known = newest.get(entity)
                if known is None or row.event_time >= known.event_time:
                    newest[entity] = row
            tally.rows += 1
        if newest:
            tally.kept += await store.write(view, newest)
    if ended is not None:
        raise ended


def _next(
    rows: Iterator[Mapping[str, Any]], most: int
) -> tuple[list[Mapping[str, Any]], InvalidRow | None]:
    """The next rows, and why there are no more if that is for an error."""
    batch: list[Mapping[str, Any]] = []
    try:
        for row in islice(rows, most):
            batch.append(row)  # noqa: PERF402 - what came before an error is kept
    except InvalidRow as wrong:
        return batch, wrong
    return batch, None


def writable(view: ViewConfig, name: str) -> str:
    """The name of the store that a view's rows go to.

    Raises:
        InvalidConfig: the view has none.
    """
    if not view.realtime or not view.features:
        raise InvalidConfig(
            f"The view {name!r} has no realtime store to write to.",
            code="no_realtime_store",
            path=f"features.views.{name}.realtime",
            hint="Name one of [features.stores].",
        )
    return view.realtime


def unix_seconds(value: object) -> float | None:
    """A number of seconds or a datetime as Unix seconds; a naive one is UTC. None if it is no time."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return aware.timestamp()
    if isinstance(value, str):
        try:
            return unix_seconds(datetime.fromisoformat(value))
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _key(value: object, path: str) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) is int and abs(value) < 2**63:
        return str(value)
    if is_text(value) and value:
        return value
    raise InvalidRow(
        f"The key {_short(value)} is none that a store can have.",
        code="wrong_key",
        path=path,
        hint="A key is a 64-bit integer, or Unicode text of 1 to 10,000 characters.",
    )


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
