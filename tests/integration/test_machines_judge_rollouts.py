"""Three state directories on one PostgreSQL: whoever leads judges a rollout by what all have answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace as changed
from tests.conformance.store.conftest import new_database, postgresql
from tests.integration.controller_story import WHO
from tests.registered import version
from tests.unit.performance.recorded import prediction

from trimtab.config import Config, JournalConfig, StateConfig, WatchConfig
from trimtab.errors import Unavailable
from trimtab.protocols import StateStore, StateTx
from trimtab.record.journal import Journal
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import (
    GuardrailAction,
    GuardrailReading,
    GuardrailSpec,
    Harm,
    OutcomeRecord,
    PredictionRecord,
    PromotionPolicy,
    RampStep,
    RolloutPlan,
    UnitEvent,
)
from trimtab.wiring.clock import SystemClock
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.leadership import LEASE_SECONDS, Leadership, holder_of
from trimtab.wiring.watching import Watching

__all__ = ["postgresql"]
ANSWERS = 500
PLAN = RolloutPlan(
    steps=(RampStep(share=0.5, bake_seconds=1e9),),
    guardrails=(
        GuardrailSpec(name="errors", event=UnitEvent.ERROR, action=GuardrailAction.ALERT),
        GuardrailSpec(
            name="bookings",
            event=UnitEvent.POSITIVE_OUTCOME,
            harm=Harm.FEWER,
            action=GuardrailAction.ALERT,
        ),
    ),
    promote=PromotionPolicy.MANUAL,
)


class Failing:
    """A state whose next write transaction is undone at its end, once it was told so."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self.fails = False

    @contextmanager
    def transaction(self) -> Iterator[StateTx]:
        with self._state.transaction() as state:
            yield state
            if self.fails:
                self.fails = False
                raise Unavailable("The power is out.")

    def reading(self) -> object:
        return self._state.reading()

    def __getattr__(self, name: str) -> object:
        return getattr(self._state, name)


class Machine:
    """A state directory with its journal, its watcher and its lease."""

    def __init__(self, folder: Path, url: str, clock: FakeClock) -> None:
        watch = WatchConfig(replica=folder.name, batch_rows=20)
        opened = Deployment.open(Config(state=StateConfig(dir=str(folder), url=url), watch=watch))
        self.failing = Failing(opened.state)
        self.deployment = replace(opened, state=self.failing)  # type: ignore[arg-type]  # it is one
        self.leadership = Leadership(opened.state, holder_of(opened.dir), clock)
        self.restart()

    def restart(self) -> None:
        self.watching = Watching.open(self.deployment, Metrics(), self.leadership.holds)

    def record(self, records: Sequence[PredictionRecord]) -> None:
        journal = Journal(self.deployment.journal_dir, JournalConfig(), Metrics(), SystemClock())
        journal.append(records)
        journal.close()

    def tick(self) -> int:
        self.leadership.lead()
        try:
            return self.watching.tick().records
        except Unavailable:
            self.restart()
            return 1


def answers(rng: np.random.Generator) -> list[PredictionRecord]:
    """A candidate that fails sometimes; users come back, to whichever machine."""
    made = []
    for at in range(ANSWERS):
        unit = int(rng.integers(300))
        arm = unit % 2
        failed = "model_failure" if arm and rng.random() < 0.1 else None
        made.append(
            changed(
                prediction(f"p{at}", 1_700_000_000.0 + at, 0.5),
                model="m",
                version=1 + arm,
                rollout="m-0001",
                arm=arm,
                share=0.5,
                unit=f"u{unit}",
                failed=failed,
                sticky=True,
                values=(1.0,),
            )
        )
    return made


def told(state: StateStore, rng: np.random.Generator, records: Sequence[PredictionRecord]) -> None:
    """What became known of some answers, whoever gave them."""
    outcomes = [
        OutcomeRecord(
            model="m",
            prediction_id=record.prediction_id,
            value=float(rng.random() < 0.4 - 0.2 * record.arm),
            event_time=record.event_time,
            received_at=record.event_time,
        )
        for record in records
    ]
    with state.transaction() as tx:
        tx.outcomes.add(outcomes)


def begun(deployment: Deployment) -> None:
    with deployment.state.transaction() as state:
        for number in (1, 2):
            state.registry.add_version(version("m", number, "x"))
    deployment.deploy("m", 1, **WHO)
    deployment.start_rollout("m", 2, PLAN, **WHO)


def readings(deployment: Deployment) -> dict[str, GuardrailReading]:
    with deployment.state.reading() as state:
        newest = state.watch.verdicts("m", "guardrail")[-1]
        assert not state.watch.has_handed()
    return {reading.guardrail: reading for reading in newest.readings}


def of_one_machine(
    folder: Path, records: Sequence[PredictionRecord]
) -> dict[str, GuardrailReading]:
    alone = Machine(folder, f"sqlite:///{folder}.db", FakeClock(1_000.0))
    begun(alone.deployment)
    alone.record(records)
    told(alone.deployment.state, np.random.default_rng(1), records)
    while alone.tick():
        pass
    found = readings(alone.deployment)
    alone.deployment.close()
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_all_answers_and_outcomes_count_once_whoever_leads(
    postgresql: str, tmp_path: Path, seed: int
) -> None:
    rng, clock, url = np.random.default_rng(seed), FakeClock(1_000.0), new_database(postgresql)
    records = answers(rng)
    expected = of_one_machine(tmp_path / "alone", records)
    leaders: set[str] = set()
    with ExitStack() as stack:
        machines = [Machine(tmp_path / name, url, clock) for name in "abc"]
        for machine in machines:
            stack.callback(machine.deployment.close)
        begun(machines[0].deployment)
        where = rng.integers(3, size=ANSWERS)
        for i, machine in enumerate(machines):
            machine.record([record for record, at in zip(records, where, strict=True) if at == i])
        told(machines[0].deployment.state, np.random.default_rng(1), records)
        idle = 0
        while idle < 12:
            machine = machines[int(rng.integers(3))]
            machine.failing.fails = bool(rng.random() < 0.2)
            clock.advance(float(rng.choice([0.2, 1.5 * LEASE_SECONDS], p=[0.8, 0.2])))
            idle = 0 if machine.tick() else idle + 1
            if machine.leadership.term is not None:
                leaders.add(machine.leadership.holder)
        for machine in machines:
            machine.failing.fails = False
        for machine in [*machines, *machines]:
            machine.tick()
        actual = readings(machines[0].deployment)
    assert 3 == len(leaders)
    assert 50 < expected["bookings"].events[0]
    assert 5 < expected["errors"].events[1]
    assert {name: (r.units, r.events) for name, r in expected.items()} == {
        name: (r.units, r.events) for name, r in actual.items()
    }
    for name, reading in expected.items():
        assert pytest.approx(reading.e_value, rel=1e-9) == actual[name].e_value
