"""Flow 2 with fakes: one tick is one transaction, and a prediction counts once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from trimtab.protocols import StateStore, StateTx
from trimtab.store.state import open_state
from trimtab.types import (
    Alert,
    Comparison,
    Matured,
    PredictionRecord,
    Severity,
    State,
    Verdict,
    Window,
)
from trimtab.watch import Subject, WatchFlow


def record(name: str, at: float = 1.0) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=name, request_id=None, event_time=at, wall_time=at, model="m", version=1,
        digest="sha256:1", epoch=1, rollout=None, arm=0, share=0.0, unit=name, sticky=True,
        values=(), sources="", ages_seconds=(), score=0.5, outputs=(0.5, 0.5), positive=False,
        latency_ms=1.0,
    )  # fmt: skip


class Tape:
    """A journal of one segment, read a few records at a time."""

    def __init__(self, records: Sequence[PredictionRecord], most: int = 10_000) -> None:
        self._records = records
        self._most = most

    def read(
        self, offsets: Mapping[str, int], limit: int
    ) -> tuple[Sequence[PredictionRecord], Mapping[str, int]]:
        start = offsets.get("a", 0)
        found = self._records[start : start + min(limit, self._most)]
        return found, {**offsets, "a": start + len(found)}


class Counting:
    """All four parts of a subject: counts records, gives a window for every one."""

    def __init__(self) -> None:
        self.seen = 0
        self.judged = 0
        self.broken = False

    def fold(
        self,
        predictions: Sequence[PredictionRecord],
        matured: Sequence[Matured],  # noqa: ARG002 - the Protocol's
        state: StateTx,  # noqa: ARG002 - the Protocol's
    ) -> Iterable[Window]:
        for one in predictions:
            self.seen += 1
            yield Window(
                subject="counting", model="m", version=1, start=one.event_time,
                end=one.event_time + 1, rows=self.seen, content=None,
            )  # fmt: skip

    def compare(self, window: Window) -> Sequence[Comparison]:  # noqa: ARG002 - the Protocol's
        return []

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        self.judged += 1
        return Verdict(
            subject=window.subject, model="m", version=1, start=window.start, end=window.end,
            rows=window.rows, state=State.STEADY, score=0.0, evidence=float(self.judged),
            alarm_at=1e3, alarmed=False, since=None, comparisons=tuple(comparisons), flagged=(),
            words="",
        )  # fmt: skip

    def act(
        self,
        window: Window,
        verdict: Verdict,  # noqa: ARG002 - the Protocol's
        state: StateTx,  # noqa: ARG002 - the Protocol's
    ) -> Sequence[Alert]:
        if self.broken:
            raise RuntimeError("a part that fails")
        if window.rows == 3:
            return [
                Alert(
                    key="third", severity=Severity.INFO, title="third", body="", model="m",
                    version=1, event_time=window.start,
                )
            ]  # fmt: skip
        return []

    def dump(self) -> bytes:
        return msgspec.msgpack.encode((self.seen, self.judged))

    def load(self, blob: bytes) -> None:
        self.seen, self.judged = msgspec.msgpack.decode(blob, type=tuple[int, int])


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    store = open_state(f"sqlite:///{tmp_path}/state.db")
    yield store
    store.close()


def flow_over(state: StateStore, tape: Tape, part: Counting, limit: int = 10_000) -> WatchFlow:
    subject = Subject("m/1/counting", part, part, part, part)

    def notify(tx: StateTx, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            tx.alerts.open(alert, ())

    return WatchFlow(
        state=state, journal=tape, subjects=lambda _: [subject], notify=notify, batch_rows=limit
    )


def concluded(state: StateStore) -> list[tuple[float, int, float]]:
    with state.reading() as tx:
        return [(v.start, v.rows, v.evidence) for v in tx.watch.verdicts("m", "counting")]


def test_what_nobody_was_answered_with_counts_for_those_that_ask_for_it(
    state: StateStore,
) -> None:
    answers = [record(f"p{i}", float(i)) for i in range(4)]
    shadows = [msgspec.structs.replace(one, shadow=True) for one in answers]
    parts = [Counting(), Counting()]
    subjects = [
        Subject(f"m/1/{at}", part, part, part, part, shadows=bool(at))
        for at, part in enumerate(parts)
    ]
    flow = WatchFlow(
        state=state,
        journal=Tape([one for pair in zip(shadows, answers, strict=True) for one in pair]),
        subjects=lambda _: subjects,
        notify=lambda *_: None,
        batch_rows=100,
    )
    tick = flow.tick()
    assert (4, 0, 8) == (tick.records, tick.repeats, tick.read)
    assert [4, 8] == [part.seen for part in parts]
    with state.reading() as tx:
        assert {1: (4, 0)} == tx.outcomes.counts("m")


def test_any_batches_and_any_restarts_conclude_the_same(state: StateStore, tmp_path: Path) -> None:
    tape = Tape([record(f"p{i}", float(i)) for i in range(20)])
    whole = flow_over(state, tape, Counting())
    assert 20 == whole.tick().records

    other = open_state(f"sqlite:///{tmp_path}/other.db")
    for _ in range(7):
        flow_over(other, tape, Counting(), limit=3).tick()
    assert concluded(state) == concluded(other)
    other.close()


def test_a_tick_takes_no_more_than_it_is_told(state: StateStore) -> None:
    flow = flow_over(state, Tape([record(f"p{i}", float(i)) for i in range(9)]), Counting(), 5)
    assert [2, 5, 2] == [flow.tick(rows).records for rows in (2, None, None)]


def test_subjects_that_share_a_windower_fold_once(state: StateStore) -> None:
    shared, judges = Counting(), [Counting(), Counting()]
    subjects = [
        Subject(f"m/1/{at}", shared, judge, judge, judge) for at, judge in enumerate(judges)
    ]

    def flow(found: list[Subject]) -> WatchFlow:
        tape = Tape([record(f"p{i}", float(i)) for i in range(6)])
        return WatchFlow(
            state=state, journal=tape, subjects=lambda _: found, notify=lambda *_: None,
            batch_rows=4,
        )  # fmt: skip

    assert 4 == flow(subjects).tick().records
    assert (4, [4, 4]) == (shared.seen, [judge.judged for judge in judges])
    again, restarted = Counting(), [Counting(), Counting()]
    assert 2 == flow([
        Subject(f"m/1/{at}", again, judge, judge, judge) for at, judge in enumerate(restarted)
    ]).tick().records  # fmt: skip
    assert (6, [6, 6]) == (again.seen, [judge.judged for judge in restarted])


def test_a_replayed_prediction_counts_once(state: StateStore) -> None:
    part = Counting()
    tape = Tape([record("a"), record("a"), record("b"), record("a")], most=2)
    flow = flow_over(state, tape, part)
    assert [1, 1, 0] == [flow.tick().records for _ in range(3)]
    assert 2 == part.seen


def test_one_id_of_two_models_is_two_predictions(state: StateStore) -> None:
    ours = [record(name, at) for at, name in enumerate("aba")]
    theirs = [msgspec.structs.replace(one, model="other") for one in ours]
    part = Counting()
    flow = flow_over(
        state, Tape([ours[0], theirs[0], ours[1], ours[2], theirs[1], theirs[2]], 3), part
    )
    assert [(3, 0), (1, 2)] == [(tick.records, tick.repeats) for tick in (flow.tick(), flow.tick())]
    assert 4 == part.seen
    with state.reading() as tx:
        assert [{1: (2, 0)}] * 2 == [tx.outcomes.counts(model) for model in ("m", "other")]


def test_a_tick_that_fails_leaves_nothing_behind(state: StateStore) -> None:
    tape = Tape([record(f"p{i}", float(i)) for i in range(5)])
    broken = Counting()
    broken.broken = True
    with pytest.raises(RuntimeError):
        flow_over(state, tape, broken).tick()
    assert [] == concluded(state)

    whole = Counting()
    tick = flow_over(state, tape, whole).tick()
    assert (5, ("third",)) == (tick.records, tuple(alert.key for alert in tick.alerts))
    assert [1, 2, 3, 4, 5] == [rows for _, rows, _ in concluded(state)]
    with state.reading() as tx:
        assert ["third"] == [alert.key for alert, _, _ in tx.alerts.alerts("m")]


def test_nothing_new_costs_no_write(state: StateStore) -> None:
    flow = flow_over(state, Tape([]), Counting())
    tick = flow.tick()
    assert (0, 0, (), ()) == (tick.records, tick.matured, tick.verdicts, tick.alerts)
    with state.reading() as tx:
        assert None is tx.watch.blob("m/1/counting")


def test_what_takes_long_is_done_before_the_transaction_and_may_bring_something(
    state: StateStore,
) -> None:
    class Waiting(Counting):
        """Yields what came only after ``before``, which takes a transaction of its own."""

        def __init__(self) -> None:
            super().__init__()
            self.waiting: list[PredictionRecord] = []
            self.ready: list[PredictionRecord] = []

        def before(self) -> bool:
            with state.transaction() as tx:
                tx.watch.save_blob("looked", b"")
            self.ready, self.waiting = self.waiting, []
            return bool(self.ready)

        def fold(
            self,
            predictions: Sequence[PredictionRecord],
            matured: Sequence[Matured],
            state: StateTx,
        ) -> Iterable[Window]:
            self.waiting += predictions
            ready, self.ready = self.ready, []
            yield from super().fold(ready, matured, state)

    part = Waiting()
    subject = Subject("m/1/counting", part, part, part, part, before=part.before)
    flow = WatchFlow(
        state=state,
        journal=Tape([record("p1"), record("p2")]),
        subjects=lambda _: [subject],
        notify=lambda tx, alerts: None,  # noqa: ARG005 - nobody is told
        batch_rows=10,
    )
    assert flow.tick().verdicts == ()
    assert [verdict.rows for verdict in flow.tick().verdicts] == [1, 2]
    assert flow.tick().verdicts == ()
