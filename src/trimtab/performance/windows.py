"""Predictions and their outcomes, counted in windows of event time.

Everything is read off tables of integer counts, see ``bins.py``. Integers merge and subtract exactly in
any order, so late and corrected outcomes cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from trimtab.config import WatchConfig
from trimtab.log_events import tell_unreadable
from trimtab.performance.bins import coarse_place, coarse_places
from trimtab.performance.segments import Segments, SegmentSpec, names_of
from trimtab.performance.spans import spans
from trimtab.performance.tally import Counted, Item, Requests, Tally
from trimtab.protocols import StateTx
from trimtab.recordtable import RecordTable, table_of, watermarks
from trimtab.types import Matured, PredictionRecord, Task, Version, Window

SUBJECT = "performance"
RECOUNT_RATIO = 0.01


class _Made(msgspec.Struct, frozen=True):
    """What is counted of a prediction."""

    prediction_id: str
    score: float
    segments: tuple[str, ...]
    request_id: str | None


class _Window(msgspec.Struct):
    """A window that waits, or one that has closed.

    ``scores`` has by coarse bin of score how many predictions there are and how many of them have an
    outcome. ``late`` are predictions that came after its lateness: they, and in ``after`` what became
    known of them, count from the first revision on. ``unseen`` changes came since it was last yielded.
    """

    index: int
    whole: Tally = msgspec.field(default_factory=Tally)
    segments: dict[str, Tally] = {}
    requests: Requests | None = None
    scores: dict[int, tuple[int, int]] = {}
    late: dict[str, _Made] = {}
    after: list[Matured] = []
    revision: int = 0
    unseen: int = 0


class _Saved(msgspec.Struct):
    watermark: float
    open: list[_Window]
    stale: list[int]
    entered: int | None


class PerformanceWindows:
    """Folds predictions and their outcomes into windows of the predictions' event time.

    A window is complete when the watermark (the model's latest prediction) is ``lateness_seconds``
    past its end and ``maturity_ratio`` of its predictions have an outcome, or else when the
    watermark is ``outcome_delay_seconds`` past its end; then it is ``partial``. Windows are yielded in
    order.

    What becomes known of a window after that is counted too: the window is yielded again, with a higher
    ``revision``, when a hundredth of its outcomes are new, or when time enters another window. So it is
    for the latest ``recount_windows`` windows; their counts lie in the state, one blob each, and are
    read only when something comes for them.

    Args:
        version: Whose predictions; a window belongs to one version.
        config: Spans in event time.
        segments: The parts that are counted on their own.
        ranking: Whether the rows of a request are kept together.
    """

    def __init__(
        self,
        version: Version,
        config: WatchConfig,
        *,
        segments: tuple[SegmentSpec, ...] = (),
        ranking: bool = False,
    ) -> None:
        self._model = version.model
        self._version = version.version
        self._signature = version.signature
        self._config = config
        self._segments = Segments(segments, version.signature)
        self._ranking = ranking
        self._prefix = f"{version.model}/{version.version}/{SUBJECT}/closed"
        self._watermark = -math.inf
        self._entered: int | None = None
        self._open: dict[int, _Window] = {}
        self._stale: set[int] = set()

    def fold(
        self, predictions: Sequence[PredictionRecord], matured: Sequence[Matured], state: StateTx
    ) -> Iterable[Window]:
        """Fold new records; the windows that are now complete, oldest first, then recounted ones."""
        closed = _Closed(self._prefix, self._config.recount_windows, state)
        self._expect(table_of(predictions).of_model(self._model), closed)
        for outcome in matured:
            if outcome.facts.model == self._model and outcome.facts.version == self._version:
                self._take(outcome, closed)
        complete = []
        for index in sorted(self._open):
            if not self._complete(index):
                break
            complete.append(self._close(self._open.pop(index), closed))
        complete += self._recounted(closed)
        closed.save()
        return complete

    def dump(self) -> bytes:
        """All that has been folded and not yet yielded."""
        windows = [window for _, window in sorted(self._open.items())]
        return msgspec.msgpack.encode(
            _Saved(self._watermark, windows, sorted(self._stale), self._entered)
        )

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        saved = msgspec.msgpack.decode(blob, type=_Saved)
        self._watermark, self._entered = saved.watermark, saved.entered
        self._open = {window.index: window for window in saved.open}
        self._stale = set(saved.stale)

    def _index(self, event_time: float) -> int:
        return math.floor(event_time / self._config.window_seconds)

    def _end(self, index: int) -> float:
        return (index + 1) * self._config.window_seconds

    def _expect(self, records: RecordTable, closed: _Closed) -> None:
        """Count a model's records into their windows; those that come too late one by one."""
        reached, self._watermark = watermarks(records, self._watermark)
        own = np.flatnonzero(records.floats("version") == self._version)
        in_time, late = spans(records, own, reached, self._config)
        for index, places in in_time:
            window = self._open.setdefault(index, _Window(index))
            self._on_time(window, records.where(places))
        for place in late.tolist():
            self._late(records[place], closed)

    def _on_time(self, window: _Window, records: RecordTable) -> None:
        if self._ranking:
            for record in records:
                self._predicted(window, self._counts(record))
            return
        window.whole.predictions += len(records)
        for name, inside in self._segments.places(records).items():
            window.segments.setdefault(name, Tally()).predictions += len(inside)
        places, counts = np.unique(coarse_places(records.floats("score")), return_counts=True)
        for place, count in zip(places.tolist(), counts.tolist(), strict=True):
            predictions, known = window.scores.get(place, (0, 0))
            window.scores[place] = (predictions + count, known)

    def _late(self, record: PredictionRecord, closed: _Closed) -> None:
        index = self._index(record.event_time)
        if index in self._open:
            self._open[index].late[record.prediction_id] = self._counts(record)
        elif (after := closed.get(index)) is not None:
            self._predicted(after, self._counts(record))
            self._stale.add(index)
            after.unseen += 1

    def _counts(self, record: PredictionRecord) -> _Made:
        return _Made(
            prediction_id=record.prediction_id,
            score=record.score,
            segments=self._segments.of(record),
            request_id=record.request_id if self._ranking else None,
        )

    def _predicted(self, window: _Window, made: _Made) -> None:
        window.whole.predictions += 1
        for name in made.segments:
            window.segments.setdefault(name, Tally()).predictions += 1
        place = coarse_place(made.score)
        predictions, known = window.scores.get(place, (0, 0))
        window.scores[place] = (predictions + 1, known)
        if made.request_id is not None:
            window.requests = window.requests or Requests()
            rows = window.requests.add(made.request_id, made.segments)
            if rows is not None:
                rows[made.prediction_id] = Item(made.score)

    def _take(self, matured: Matured, closed: _Closed) -> None:
        index = self._index(matured.facts.event_time)
        window = self._open.get(index)
        if window is not None and matured.facts.prediction_id in window.late:
            window.after.append(matured)
        elif window is not None:
            self._known(window, matured)
        elif (after := closed.get(index)) is not None:
            self._known(after, matured)
            self._stale.add(index)
            after.unseen += 1

    def _known(self, window: _Window, matured: Matured) -> None:
        facts = matured.facts
        names = names_of(self._segments.specs, facts.segments)
        for tally in (window.whole, *(window.segments.setdefault(n, Tally()) for n in names)):
            if matured.previous is None:
                tally.outcomes += 1
            else:
                tally.count(facts, matured.previous, -1, self._signature)
            tally.count(facts, matured.value, 1, self._signature)
        if matured.previous is None:
            place = coarse_place(facts.score)
            predictions, known = window.scores.get(place, (0, 0))
            window.scores[place] = (predictions, known + 1)
        if window.requests is not None and facts.request_id is not None:
            item = window.requests.kept.get(facts.request_id, {}).get(facts.prediction_id)
            if item is not None:
                item.gain = matured.value

    def _mature(self, window: _Window) -> bool:
        return window.whole.outcomes >= self._config.maturity_ratio * window.whole.predictions

    def _complete(self, index: int) -> bool:
        config, window, end = self._config, self._open[index], self._end(index)
        if self._watermark < end + config.lateness_seconds:
            return False
        return self._mature(window) or self._watermark >= end + config.outcome_delay_seconds

    def _close(self, window: _Window, closed: _Closed) -> Window:
        yielded = self._window(window)
        for made in window.late.values():
            self._predicted(window, made)
        for matured in window.after:
            self._known(window, matured)
        window.unseen = len(window.late) + len(window.after)
        window.late, window.after = {}, []
        if window.unseen:
            self._stale.add(window.index)
        closed.put(window)
        return yielded

    def _recounted(self, closed: _Closed) -> list[Window]:
        entered = None if math.isinf(self._watermark) else self._index(self._watermark)
        moved, self._entered = entered != self._entered, entered
        found = []
        for index in sorted(self._stale):
            window = closed.get(index)
            if window is None:
                self._stale.discard(index)
            elif moved or window.unseen >= RECOUNT_RATIO * window.whole.outcomes:
                window.revision, window.unseen = window.revision + 1, 0
                self._stale.discard(index)
                found.append(self._window(window))
        return found

    def _window(self, window: _Window) -> Window:
        task = self._signature.task
        requests = window.requests.kept.values() if window.requests else ()
        return Window(
            subject=SUBJECT,
            model=self._model,
            version=self._version,
            start=window.index * self._config.window_seconds,
            end=self._end(window.index),
            rows=window.whole.outcomes,
            revision=window.revision,
            content=msgspec.structs.replace(
                _counted(task, window.whole),
                requests=tuple(dict(rows) for rows in requests),
                segments={
                    name: _counted(
                        task, tally, window.requests.inside(name) if window.requests else ()
                    )
                    for name, tally in sorted(window.segments.items())
                },
                partial=not self._mature(window),
                scores=tuple(counts for _, counts in sorted(window.scores.items())),
            ),
        )


def _counted(task: Task, tally: Tally, requests: Iterable[dict[str, Item]] = ()) -> Counted:
    return Counted(
        task=task,
        predictions=tally.predictions,
        outcomes=tally.outcomes,
        tables=tuple(dict(table) for table in tally.tables),
        requests=tuple(dict(rows) for rows in requests),
    )


class _Closed:
    """Windows that were yielded, in a ring of blobs; those that were asked for are saved again."""

    def __init__(self, prefix: str, most: int, state: StateTx) -> None:
        self._prefix, self._most, self._state = prefix, most, state
        self._asked: dict[int, _Window | None] = {}

    def get(self, index: int) -> _Window | None:
        """The closed window of an index; None if there is none, or none any more."""
        if index not in self._asked:
            window = self._saved(self._key(index))
            self._asked[index] = window if window is not None and window.index == index else None
        return self._asked[index]

    def _saved(self, key: str) -> _Window | None:
        blob = self._state.watch.blob(key)
        if blob is None:
            return None
        try:
            return msgspec.msgpack.decode(blob, type=_Window)
        except msgspec.MsgspecError as why:
            tell_unreadable(key, "closed window", why)
            return None

    def put(self, window: _Window) -> None:
        """Keep a window that has just been yielded."""
        self._asked[window.index] = window

    def save(self) -> None:
        """Write what was asked for; where two windows share a place, the newer one has it."""
        for index in sorted(self._asked):
            window = self._asked[index]
            if window is not None:
                self._state.watch.save_blob(self._key(index), msgspec.msgpack.encode(window))

    def _key(self, index: int) -> str:
        return f"{self._prefix}/{index % self._most}"
