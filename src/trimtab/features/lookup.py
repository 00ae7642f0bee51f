"""Asks a view's history what it knew of an entity at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trimtab.errors import Unavailable
from trimtab.features.history import History
from trimtab.features.values import join_keys
from trimtab.features.views import PlannedView
from trimtab.features.writing import unix_seconds

SLACK_SECONDS = 1e-3  # an age was counted in floats: the event it points to may lie a moment later


class Ask(msgspec.Struct, frozen=True):
    """What the history is asked: one entity's keys, in the view's order, and a time."""

    entity: tuple[str, ...]
    at: float


class Known(msgspec.Struct, frozen=True):
    """What the history knows: ``row`` is None if it has none, ``covered`` whether it reaches so far."""

    row: Mapping[str, Any] | None
    covered: bool


Lookup = Callable[[PlannedView, Sequence[Ask]], Sequence[Known]]


class HistoryLookup:
    """Asks Parquet files, reading only the entities that are asked about.

    Args:
        histories: Where each view's past values stand, by view.
    """

    def __init__(self, histories: Mapping[str, History]) -> None:
        self._histories = histories

    def __call__(self, view: PlannedView, asks: Sequence[Ask]) -> Sequence[Known]:
        """As of each time, at or before it: the newest row of the entity.

        Raises:
            Unavailable: a file lacks a key or the time.
            ArrowException: a file cannot be read.
        """
        history = self._histories[view.name]
        for file in history.files:
            _check(file, (*history.keys, history.time_column))
        reach = _reach(history)
        rows = self._rows(history, view, {ask.entity for ask in asks})
        answers = []
        for ask in asks:
            times, found = rows.get(ask.entity, ([], []))
            at = bisect_right(times, ask.at)
            row = found[at - 1] if at else None
            overwritten = row is None and bool(times)  # only later rows: the past is not kept
            covered = ask.at - SLACK_SECONDS <= reach and not overwritten
            answers.append(Known(row=row, covered=covered))
        return answers

    def _rows(
        self, history: History, view: PlannedView, entities: set[tuple[str, ...]]
    ) -> dict[tuple[str, ...], tuple[list[float], list[Mapping[str, Any]]]]:
        by_entity: dict[tuple[str, ...], list[tuple[float, Mapping[str, Any]]]] = defaultdict(list)
        features = [feature.name for feature in view.features]
        columns = list(dict.fromkeys((*history.keys, history.time_column, *features)))
        joined = {join_keys(entity): entity for entity in entities}
        wanted = pa.array(list(joined) if history.joined else [entity[0] for entity in entities])
        for file in history.files:
            with pq.ParquetFile(file) as opened:
                for batch in opened.iter_batches(columns=columns):
                    keys = batch.column(history.keys[0]).cast(pa.string())
                    some = batch.filter(pc.is_in(keys, value_set=wanted))
                    for row in some.to_pylist():
                        entity = tuple(str(row[key]) for key in history.keys)
                        named = joined.get(entity[0]) if history.joined else entity
                        at = unix_seconds(row[history.time_column])
                        if named is not None and named in entities and at is not None:
                            by_entity[named].append((at, row))
        answers = {}
        for entity, held in by_entity.items():
            held.sort(key=lambda one: one[0])
            answers[entity] = ([at for at, _ in held], [row for _, row in held])
        return answers


def _check(file: str, columns: Sequence[str]) -> None:
    names = pq.read_schema(file).names
    for column in columns:
        if column not in names:
            raise Unavailable(
                f"The history file {file!r} has no column {column!r}.",
                code="history_unreadable",
                hint=f"Its columns: {', '.join(names)}.",
            )


def _reach(history: History) -> float:
    """The latest event time that the files hold."""
    latest = float("-inf")
    for file in history.files:
        column = pq.read_table(file, columns=[history.time_column]).column(0)
        newest = unix_seconds(pc.max(column).as_py())
        latest = max(latest, float("-inf") if newest is None else newest)
    return latest
