"""Flow 2: journal -> window -> compare -> judge -> act.

Data drift, prediction drift, performance and rollout guardrails are subjects that walk the same
way. One tick is one transaction: how far the journal was read, all that was derived from it and all
that was done about it commit together, so a watcher that dies changes no number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from trimtab.log_events import tell_unreadable
from trimtab.protocols import (
    Actor,
    Comparer,
    JournalReader,
    Judge,
    StateStore,
    StateTx,
    Windower,
)
from trimtab.recordtable import Facts, Places, RecordTable, table_of
from trimtab.types import Alert, Matured, PredictionFacts, PredictionRecord, Verdict, Window
from trimtab.windows import Batch


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that is watched, for one model version or one rollout.

    ``key`` names its saved state, for example ``flights_late/2/data_drift``. Subjects may share one
    windower: it folds once, and each of them gets the windows. With ``shadows`` it also gets what
    nobody was answered with; subjects that share a windower agree on that. ``before`` is called before
    each tick's transaction: what takes long, such as reading files, is done there. It tells whether the
    windower has something to yield now, without new records.
    """

    key: str
    windower: Windower
    comparer: Comparer
    judge: Judge
    actor: Actor
    shadows: bool = False
    before: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did. ``records`` of answers read, outcomes ``matured``, and all that was concluded.

    ``repeats`` counts records of predictions that had been read before; they change nothing. ``read`` are all
    records that it took from the journal, shadows too.
    """

    records: int
    matured: int
    verdicts: tuple[Verdict, ...]
    alerts: tuple[Alert, ...]
    repeats: int = 0
    read: int = 0


Subjects = Callable[[StateTx], Sequence[Subject]]
Notify = Callable[[StateTx, Sequence[Alert]], None]
FactsOf = Callable[[RecordTable], Sequence[PredictionFacts]]

_KEPT = (
    "prediction_id", "model", "version", "rollout", "arm", "share", "unit", "event_time", "score",
    "positive",
)  # fmt: skip


def plain_facts(record: PredictionRecord) -> PredictionFacts:
    """What the outcome join keeps of a prediction of any model."""
    return facts_of_all(table_of([record]))[0]


def facts_of_all(records: RecordTable) -> Facts:
    """As ``plain_facts``, of many."""
    nothing = [None] * len(records)
    return Facts(
        {name: records.cells(name) for name in _KEPT}
        | dict.fromkeys(("outputs", "request_id", "segments"), nothing)
        | {"shares": [shares or None for shares in records.cells("shares")]}
    )


def nothing_waits(_: StateTx) -> bool:
    """A machine that watches alone has all that it needs in its journal."""
    return False


class WatchFlow:
    """Watches what was recorded.

    Args:
        state: Where offsets, derived state and actions are kept, together.
        journal: What was recorded.
        subjects: What is to be watched now; asked at every tick, and the same objects are given
            again as long as a thing is watched.
        notify: Opens alerts, within the transaction.
        batch_rows: How many records and outcomes one tick takes at most.
        facts: What the outcome join keeps of a prediction.
        waits: Whether subjects have something to take up that is in no journal of this machine.
    """

    def __init__(
        self,
        *,
        state: StateStore,
        journal: JournalReader,
        subjects: Subjects,
        notify: Notify,
        batch_rows: int,
        facts: FactsOf = facts_of_all,
        waits: Callable[[StateTx], bool] = nothing_waits,
    ) -> None:
        self._state = state
        self._journal = journal
        self._subjects = subjects
        self._notify = notify
        self._batch_rows = batch_rows
        self._facts = facts
        self._waits = waits
        self._loaded: dict[str, Subject] = {}

    def tick(self, rows: int | None = None) -> Tick:
        """Take what is new, once; at most ``rows`` instead of ``batch_rows``.

        After an exception nothing has happened, but the subjects have folded what was not saved:
        build the flow and its subjects anew.

        Raises:
            Unavailable: the state cannot be written.
        """
        calls = [subject.before for subject in self._loaded.values() if subject.before is not None]
        ready = any(tuple(call() for call in calls))
        with self._state.transaction() as state:
            return self._step(state, rows or self._batch_rows, ready=ready)

    def _step(self, state: StateTx, rows: int, *, ready: bool) -> Tick:
        offsets = state.watch.offsets()
        records_read, behind = self._journal.read(offsets, rows)
        read = table_of(records_read)
        answered = np.flatnonzero(~read.shadowed)
        answers = read.where(answered)
        counted = answered[np.asarray(state.outcomes.index(self._facts(answers)), dtype=np.int64)]
        records = Batch(read.where(counted))
        matured = state.outcomes.take_matured(rows)
        moved = any(offsets.get(segment, 0) != offset for segment, offset in behind.items())
        if not (records or matured or moved or ready or self._waits(state)):
            return Tick(0, 0, (), ())
        verdicts: list[Verdict] = []
        alerts: list[Alert] = []
        subjects = self._restore(state)
        shared = _Shared(records, _with_shadows(read, records, counted), matured, state)
        for subject in subjects:
            found, told = _walk(subject, shared.windows(subject), state)
            verdicts += found
            alerts += told
        for subject in subjects:
            state.watch.save_blob(subject.key, shared.blob(subject))
        self._notify(state, alerts)
        state.watch.save_offsets(behind)
        repeats = len(answers) - len(records)
        return Tick(len(records), len(matured), tuple(verdicts), tuple(alerts), repeats, len(read))

    def _restore(self, state: StateTx) -> Sequence[Subject]:
        """The subjects, each with its saved state if this object has not seen it before."""
        subjects = self._subjects(state)
        for subject in subjects:
            if self._loaded.get(subject.key) is not subject:
                blob = state.watch.blob(subject.key)
                if blob is not None:
                    _take_up(subject, blob)
        self._loaded = {subject.key: subject for subject in subjects}
        return subjects


def _take_up(subject: Subject, blob: bytes) -> None:
    """Let a subject go on where a watcher left off; what another build saved in another form begins anew."""
    try:
        windows, judged = msgspec.msgpack.decode(blob, type=tuple[bytes | None, bytes])
    except msgspec.MsgspecError as why:
        tell_unreadable(subject.key, "windows and judgement", why)
        return
    if windows is not None:
        load_or_begin_anew(subject.windower, windows, subject.key, "windows")
    load_or_begin_anew(subject.judge, judged, subject.key, "judgement")


def load_or_begin_anew(part: Windower | Judge, saved: bytes, key: str, what: str) -> None:
    """Let a windower or judge take up what was saved under a key, or leave it new where it cannot be read."""
    new = part.dump()
    try:
        part.load(saved)
    except msgspec.MsgspecError as why:
        part.load(new)
        tell_unreadable(key, what, why)


class _Shared:
    """One tick's windows, folded once however many subjects share a windower."""

    def __init__(
        self,
        records: Sequence[PredictionRecord],
        shadowed: Sequence[PredictionRecord],
        matured: Sequence[Matured],
        state: StateTx,
    ) -> None:
        self._records = {False: records, True: shadowed}
        self._matured = matured
        self._state = state
        self._windows: dict[int, Sequence[Window]] = {}
        self._saved: set[int] = set()

    def windows(self, subject: Subject) -> Sequence[Window]:
        key = id(subject.windower)
        if key not in self._windows:
            records = self._records[subject.shadows]
            self._windows[key] = tuple(subject.windower.fold(records, self._matured, self._state))
        return self._windows[key]

    def blob(self, subject: Subject) -> bytes:
        """The subject's state; a shared windower's stands in that of the first subject."""
        first = id(subject.windower) not in self._saved
        self._saved.add(id(subject.windower))
        windows = subject.windower.dump() if first else None
        return msgspec.msgpack.encode((windows, subject.judge.dump()))


def _walk(
    subject: Subject, windows: Sequence[Window], state: StateTx
) -> tuple[list[Verdict], list[Alert]]:
    verdicts: list[Verdict] = []
    alerts: list[Alert] = []
    for window in windows:
        comparisons = subject.comparer.compare(window)
        verdict = subject.judge.judge(window, comparisons)
        alerts += subject.actor.act(window, verdict, state)
        state.watch.add_verdict(verdict)
        verdicts.append(verdict)
    return verdicts, alerts


def _with_shadows(read: RecordTable, records: Batch, counted: Places) -> Batch:
    """What counts as an answer and what nobody was answered with, in the order of the journal."""
    if not read.shadowed.any():
        return records
    chosen = read.shadowed.copy()
    chosen[counted] = True
    return Batch(read.where(chosen))
