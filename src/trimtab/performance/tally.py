"""What became known of a group of predictions, as counts; every metric is read off it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec
import numpy as np
from scipy.special import chdtrc

from trimtab.config import PerformanceConfig
from trimtab.performance.bins import error_place, errors_at, score_place, scores_at
from trimtab.performance.metrics import (
    ClassCounts,
    Estimate,
    classification,
    mean_absolute_percentage_error,
    ranking,
    regression,
)
from trimtab.types import FloatArray, PredictionFacts, Record, Signature, Task

MOST_BIAS = 0.02
"""Total variation between the scores of known outcomes and of all, from which on the known are no fair sample."""

MOST_REQUESTS = 1_000

Table = dict[int, tuple[int, int]]


class Item(msgspec.Struct, array_like=True):
    """One row of a request; ``gain`` is None until its outcome is known."""

    score: float
    gain: float | None = None


class Requests(msgspec.Struct):
    """The rows of at most 1,000 requests, those whose ids hash lowest: a sample that merges.

    ``segments`` has for each the segments that all its rows are in.
    """

    kept: dict[str, dict[str, Item]] = {}
    segments: dict[str, tuple[str, ...]] = {}
    highest: tuple[str, str] | None = None
    full: bool = False

    def add(self, request_id: str, segments: tuple[str, ...]) -> dict[str, Item] | None:
        """As ``of``, for a row that is in those segments."""
        rows = self.of(request_id)
        if rows is not None:
            known = self.segments.get(request_id, segments)
            self.segments[request_id] = tuple(name for name in known if name in segments)
        return rows

    def inside(self, segment: str) -> list[dict[str, Item]]:
        """The requests that lie in a segment with all their rows."""
        return [rows for name, rows in self.kept.items() if segment in self.segments.get(name, ())]

    def of(self, request_id: str) -> dict[str, Item] | None:
        """The rows of a request, None if it is not in the sample."""
        rows = self.kept.get(request_id)
        if rows is not None:
            return rows
        place = _place(request_id)
        if self.full and self.highest is not None and place >= self.highest:
            return None
        rows = self.kept[request_id] = {}
        if len(self.kept) > MOST_REQUESTS:
            last = max(self.kept, key=_place)
            del self.kept[last]
            self.segments.pop(last, None)
            self.full = True
            self.highest = max(map(_place, self.kept))
        return self.kept.get(request_id)


def _place(request_id: str) -> tuple[str, str]:
    return blake2b(request_id.encode(), digest_size=8).hexdigest(), request_id


class Tally(msgspec.Struct):
    """Counts of one group: ``predictions`` made, ``outcomes`` known, and rows by bin.

    ``tables`` has one table a class (a binary model: of its positive class), of rows by bin whose
    outcome is another class and is that class; a regression has a table of errors and one of errors
    relative to outcomes, counted in the second place.
    """

    predictions: int = 0
    outcomes: int = 0
    tables: list[Table] = []

    def count(
        self, facts: PredictionFacts, value: float, amount: int, signature: Signature
    ) -> None:
        """Count a prediction whose outcome is ``value`` in (1) or out (-1)."""
        if not self.tables:
            self.tables = [{} for _ in range(_tables(signature))]
        if signature.task is Task.REGRESSION:
            error = facts.score - value
            _add(self.tables[0], error_place(error), amount, second=True)
            if value:
                _add(self.tables[1], error_place(error / value), amount, second=True)
        elif signature.task is Task.BINARY:
            place = score_place(facts.score, int(bool(facts.positive)), 2)
            _add(self.tables[0], place, amount, second=value > 0)
        elif facts.outputs is not None:
            decision = max(range(len(facts.outputs)), key=facts.outputs.__getitem__)
            for index, table in enumerate(self.tables):
                place = score_place(facts.outputs[index], decision, len(self.tables))
                _add(table, place, amount, second=value == index)


def _tables(signature: Signature) -> int:
    return {Task.BINARY: 1, Task.REGRESSION: 2}.get(signature.task, len(signature.labels))


def _add(table: Table, place: int, amount: int, *, second: bool) -> None:
    first_rows, second_rows = table.get(place, (0, 0))
    rows = (first_rows + amount * (not second), second_rows + amount * second)
    if rows == (0, 0):
        table.pop(place, None)
    else:
        table[place] = rows


class Counted(Record, frozen=True):
    """What became known of one window, and of each of its segments.

    ``partial`` says that the window closed before enough outcomes were known; ``scores`` are
    predictions, and those of them with an outcome, by coarse bin of score.
    """

    task: Task
    predictions: int
    outcomes: int
    tables: tuple[Mapping[int, tuple[int, int]], ...]
    requests: tuple[Mapping[str, Item], ...] = ()
    segments: Mapping[str, Counted] = {}
    partial: bool = False
    scores: tuple[tuple[int, int], ...] = ()

    def selected(self) -> bool:
        """Whether those with an outcome are no fair sample of all predictions.

        Their scores differ from the others' beyond chance (chi-square, p < 0.001), and so much that
        the known ones are a total variation of 0.02 or more from all: a mean of anything in [0, 1] may
        be off by as much. Few that wait for ever, such as flights that were cancelled, are below that.
        """
        counts = np.array(self.scores, dtype=np.float64).reshape(-1, 2)
        known = counts[:, 1]
        both = np.maximum(counts[:, 0], known)
        share = known.sum() / both.sum() if both.sum() else 1.0
        if not 0.0 < share < 1.0:
            return False
        there = both > 0
        expected = both[there] * share
        statistic = float(((known[there] - expected) ** 2 / (expected * (1.0 - share))).sum())
        apart = float(np.abs(known / known.sum() - both / both.sum()).sum()) / 2.0
        return apart >= MOST_BIAS and float(chdtrc(max(there.sum() - 1, 1), statistic)) < 0.001


def class_counts(tables: Sequence[Mapping[int, tuple[int, int]]]) -> tuple[ClassCounts, ...]:
    """Tables of a classifier as arrays by rising score."""
    classes = max(len(tables), 2)
    return tuple(_class_counts(table, classes) for table in tables)


def _class_counts(table: Mapping[int, tuple[int, int]], classes: int) -> ClassCounts:
    places = np.array(sorted(table), dtype=np.int64)
    counts = np.array([table[int(place)] for place in places], dtype=np.float64).reshape(-1, 2)
    return ClassCounts(*scores_at(places, classes), counts)


def measure(
    counted: Counted,
    config: PerformanceConfig = PerformanceConfig(),  # noqa: B008 - frozen
) -> dict[str, Estimate]:
    """The metrics that a window's counts define, with intervals; none without outcomes."""
    if not any(counted.tables):
        return {}
    if counted.task is Task.REGRESSION:
        found = _regression(counted, config)
    else:
        costs = np.array(config.costs, dtype=np.float64) if config.costs else None
        found = classification(class_counts(counted.tables), costs)
    if config.ranking_k is not None:
        found |= ranking(_lists(counted.requests), config.ranking_k)
    return found


def _regression(counted: Counted, config: PerformanceConfig) -> dict[str, Estimate]:
    (errors, counts), relative = map(_errors, counted.tables)
    found = regression(errors, counts, quantile=config.quantile)
    if len(relative[0]):
        found["mape"] = mean_absolute_percentage_error(*relative)
    return found


def _errors(table: Mapping[int, tuple[int, int]]) -> tuple[FloatArray, FloatArray]:
    places = np.array(sorted(table), dtype=np.int64)
    return errors_at(places), np.array([table[int(p)][1] for p in places], dtype=np.float64)


def _lists(requests: Sequence[Mapping[str, Item]]) -> list[tuple[FloatArray, FloatArray]]:
    """The requests of which every outcome is known, as scores and gains."""
    return [
        (
            np.array([item.score for item in rows.values()]),
            np.array([max(item.gain or 0.0, 0.0) for item in rows.values()]),
        )
        for rows in requests
        if rows and all(item.gain is not None for item in rows.values())
    ]
