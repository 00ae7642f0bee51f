"""Several processes and threads on one database, and processes that die in the middle."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from trimtab.errors import Unavailable
from trimtab.protocols import StateStore
from trimtab.store.state import open_state
from trimtab.types import AuditEntry, OutcomeRecord, PredictionFacts

OPEN = """
import sys
from trimtab.store.state import open_state
print("ready", flush=True)
sys.stdin.readline()
store = open_state(sys.argv[1])
"""

ADVANCE = """
import sys
from trimtab.errors import Conflict
from trimtab.store.state import open_state
store = open_state(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    with store.transaction() as tx:
        tx.control.advance(0)
    print("won")
except Conflict as lost:
    print(lost.code)
"""

WRITE = """
import sys
from trimtab.store.state import open_state
from trimtab.types import OutcomeRecord, PredictionFacts
store = open_state(sys.argv[1])

def facts(name):
    return PredictionFacts(
        prediction_id=name, model="m", version=1, rollout=None, arm=0, share=0.0, unit="u",
        event_time=1.0, score=0.5, positive=None,
    )

def write(tx, at, rows):
    names = [f"p{number}" for number in range(at, at + rows)]
    tx.outcomes.index([facts(name) for name in names])
    tx.outcomes.add([
        OutcomeRecord(model="m", prediction_id=name, value=1.0, event_time=1.0, received_at=1.0)
        for name in names
    ])
    tx.outcomes.take_matured(rows)
    tx.watch.save_offsets({"segment": at + rows})
"""

DIE_WITHIN = (
    WRITE
    + """
with store.transaction() as tx:
    write(tx, 0, 10_000)
    print("ready", flush=True)
    sys.stdin.readline()
"""
)

DIE_ANYWHERE = (
    WRITE
    + """
at = 0
while True:
    with store.transaction() as tx:
        write(tx, at, 50)
    at += 50
    print(at, flush=True)
"""
)


@contextmanager
def program(text: str, url: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", text, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def answer(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate("go\n", timeout=60)
    return said.strip()


def test_two_processes_advance_and_one_wins(url: str) -> None:
    open_state(url).close()
    with program(ADVANCE, url) as one, program(ADVANCE, url) as other:
        assert ["ready", "ready"] == [line_of(one), line_of(other)]
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert ["stale_epoch", "won"] == sorted([answer(one), answer(other)])


def test_many_processes_open_an_empty_database_at_once(url: str) -> None:
    with (
        program(OPEN, url) as one,
        program(OPEN, url) as two,
        program(OPEN, url) as three,
        program(OPEN, url) as four,
    ):
        every = (one, two, three, four)
        assert ["ready"] * 4 == [line_of(process) for process in every]
        for process in every:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [0] * 4 == [process.wait(timeout=60) for process in every]
    store = open_state(url)
    with store.reading() as tx:
        assert 0 == tx.control.epoch()
    store.close()


def test_a_process_killed_within_a_transaction_leaves_nothing(url: str) -> None:
    with program(DIE_WITHIN, url) as process:
        assert "ready" == line_of(process)
        process.kill()
    store = open_state(url)
    with store.transaction() as tx:
        assert ({}, {}) == (tx.outcomes.counts("m"), tx.watch.offsets())
        tx.watch.save_offsets({"segment": 1})
    store.close()


@pytest.mark.parametrize("commits", [1, 4, 9])
def test_a_process_killed_anywhere_leaves_whole_transactions(url: str, commits: int) -> None:
    with program(DIE_ANYWHERE, url) as process:
        acknowledged = int([line_of(process) for _ in range(commits)][-1])
        process.kill()
    store = open_state(url)
    with store.reading() as tx:
        offset = tx.watch.offsets()["segment"]
        assert {1: (offset, offset)} == tx.outcomes.counts("m")
    store.close()
    assert offset >= acknowledged


def test_threads_extend_one_audit_chain(store: StateStore) -> None:
    def append(number: int) -> None:
        with store.transaction() as tx:
            last = tx.audit.last()
            seq = last.seq + 1 if last else 1
            tx.audit.add(
                AuditEntry(
                    seq=seq,
                    at=0.0,
                    actor=f"{number}",
                    action="deploy",
                    model="m",
                    detail={},
                    reason="",
                    previous=last.hash if last else "",
                    hash=f"{seq}",
                )
            )

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(append, range(60)))
    with store.reading() as tx:
        entries = tx.audit.entries()
    assert list(range(1, 61)) == [entry.seq for entry in entries]
    assert {f"{number}" for number in range(60)} == {entry.actor for entry in entries}


def test_outcomes_and_predictions_that_race_all_mature_once(store: StateStore) -> None:
    names = [f"p{number}" for number in range(400)]

    def facts(name: str) -> PredictionFacts:
        return PredictionFacts(
            prediction_id=name,
            model="m",
            version=1,
            rollout=None,
            arm=0,
            share=0.0,
            unit=name,
            event_time=1.0,
            score=0.5,
            positive=True,
        )

    def outcome(name: str) -> OutcomeRecord:
        return OutcomeRecord(
            model="m", prediction_id=name, value=1.0, event_time=1.0, received_at=2.0
        )

    def index(start: int) -> None:
        with store.transaction() as tx:
            tx.outcomes.index([facts(name) for name in names[start : start + 20]])

    def add(start: int) -> None:
        with store.transaction() as tx:
            tx.outcomes.add([outcome(name) for name in reversed(names[start : start + 20])])

    def take(_: int) -> list[str]:
        with store.transaction() as tx:
            return [one.facts.prediction_id for one in tx.outcomes.take_matured(30)]

    with ThreadPoolExecutor(6) as threads:
        starts = list(range(0, 400, 20))
        work = [threads.submit(step, start) for start in starts for step in (index, add, add)]
        taking = [threads.submit(take, start) for start in starts]
        for done in work:
            done.result()
        taken = [name for done in taking for name in done.result()]
    while more := take(0):
        taken += more
    assert sorted(names) == sorted(taken)


def test_a_writer_that_waits_too_long_says_so(url: str) -> None:
    patient, hasty = open_state(url), open_state(url, wait_seconds=0.05)
    with patient.transaction() as held:
        held.control.advance(0)
        with pytest.raises(Unavailable) as busy, hasty.transaction() as tx:
            tx.control.advance(0)
    assert "state_unavailable" == busy.value.code
    with hasty.reading() as tx:
        assert 1 == tx.control.epoch()
    patient.close()
    hasty.close()
