"""Outcomes and predictions in any order, repeated and replayed, mature exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.protocols import StateStore, StateTx
from trimtab.store.state import open_state
from trimtab.types import OutcomeRecord, PredictionFacts

NAMES = st.lists(st.sampled_from("abcdef"), max_size=6)
VALUES = st.sampled_from([0.0, 1.0])
INDEX = st.tuples(st.just("index"), NAMES)
ADD = st.tuples(st.just("add"), st.lists(st.tuples(st.sampled_from("abcdef"), VALUES), max_size=6))
TAKE = st.tuples(st.just("take"), st.integers(1, 4))

_numbers = count()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateStore]:
    folder: Path = tmp_path_factory.mktemp("state")
    opened = open_state(f"sqlite:///{folder}/state.db")
    yield opened
    opened.close()


def facts(model: str, name: str) -> PredictionFacts:
    return PredictionFacts(
        prediction_id=name,
        model=model,
        version=1,
        rollout=None,
        arm=0,
        share=0.0,
        unit=name,
        event_time=1.0,
        score=0.5,
        positive=True,
    )


def outcome(model: str, name: str, value: float) -> OutcomeRecord:
    return OutcomeRecord(
        model=model, prediction_id=name, value=value, event_time=1.0, received_at=2.0
    )


class Run:
    """What one model's predictions and outcomes came to, kept beside the store."""

    def __init__(self) -> None:
        self.model = f"m{next(_numbers)}"
        self.known: set[str] = set()
        self.values: dict[str, float] = {}
        self.taken: dict[str, float] = {}
        self.times_taken: dict[str, int] = {}

    def index(self, tx: StateTx, names: list[str]) -> None:
        new = tx.outcomes.index([facts(self.model, name) for name in names])
        unknown = dict.fromkeys(name for name in names if name not in self.known)
        assert [names.index(name) for name in unknown] == list(new)
        self.known.update(names)

    def add(self, tx: StateTx, values: list[tuple[str, float]]) -> None:
        receipts = tx.outcomes.add([outcome(self.model, *value) for value in values])
        expected = []
        for name, value in values:
            before = self.values.get(name)
            status = "recorded" if before is None else "corrected"
            expected.append((name, "duplicate" if before == value else status))
            self.values[name] = value
        assert expected == [(receipt.prediction_id, receipt.status) for receipt in receipts]

    def take(self, tx: StateTx, limit: int) -> int:
        matured = tx.outcomes.take_matured(limit)
        for one in matured:
            name = one.facts.prediction_id
            assert self.taken.get(name) == one.previous
            assert facts(self.model, name) == one.facts
            self.taken[name] = one.value
            self.times_taken[name] = self.times_taken.get(name, 0) + 1
        return len(matured)

    def drain(self, store: StateStore) -> None:
        more = 1
        while more:
            with store.transaction() as tx:
                more = self.take(tx, 4)


@settings(max_examples=120, deadline=None)
@given(steps=st.lists(st.one_of(INDEX, ADD, TAKE), max_size=12))
def test_what_was_taken_is_what_is_known(store: StateStore, steps: list[tuple[str, Any]]) -> None:
    run = Run()
    for name, argument in steps:
        with store.transaction() as tx:
            getattr(run, name)(tx, argument)
    run.drain(store)
    joined = {name: value for name, value in run.values.items() if name in run.known}
    assert joined == run.taken
    with store.reading() as tx:
        counts = {1: (len(run.known), len(joined))} if run.known else {}
        assert counts == tx.outcomes.counts(run.model)


def replay(run: Run, tx: StateTx, kind: str, names: list[str]) -> None:
    if kind == "index":
        run.index(tx, names)
    else:
        run.add(tx, [(name, 1.0) for name in names])


@settings(max_examples=60, deadline=None)
@given(
    steps=st.permutations(
        [("index", name) for name in "abcd"] + [("add", name) for name in "abcd"]
    ),
    replays=st.lists(st.tuples(st.sampled_from(["index", "add"]), st.sampled_from("abcd"))),
    taking=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_any_order_with_replays_matures_each_once(
    store: StateStore,
    steps: list[tuple[str, str]],
    replays: list[tuple[str, str]],
    taking: list[bool],
) -> None:
    run = Run()
    for (kind, name), take in zip(steps, taking, strict=True):
        with store.transaction() as tx:
            replay(run, tx, kind, [name, name])
            if take:
                run.take(tx, 3)
    with store.transaction() as tx:
        for kind, name in replays:
            replay(run, tx, kind, [name])
    run.drain(store)
    assert dict.fromkeys("abcd", 1) == run.times_taken
