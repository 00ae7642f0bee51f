"""Two state directories on one PostgreSQL: one watcher acts, the other takes over, the deposed one does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from tests.integration.controller_story import WHO, Traffic, plan, subjects
from tests.registered import version

from trimtab.config import Config, StateConfig
from trimtab.errors import Conflict
from trimtab.rollout import audit
from trimtab.testing import FakeClock
from trimtab.types import RolloutState
from trimtab.watch import Tick, WatchFlow
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.leadership import LEASE_SECONDS, Leadership, LedState, holder_of
from trimtab.wiring.watching import SubjectBook

_numbers = count()


class Controller:
    """A watcher of one machine: its lease, its flow, its journal."""

    def __init__(self, url: str, folder: Path, clock: FakeClock) -> None:
        config = Config(state=StateConfig(dir=str(folder), url=url))
        self.deployment = Deployment.open(config, clock)
        state = self.deployment.state
        self.leadership = Leadership(state, holder_of(self.deployment.dir), clock)
        self.led = replace(self.deployment, state=LedState(state, self.leadership))
        self.restart()

    def restart(self) -> None:
        self.traffic = Traffic(self.led, failing=True)
        known: dict[str, Any] = {}
        self.flow = WatchFlow(
            state=self.led.state,
            journal=self.traffic,
            subjects=lambda state: subjects(self.led, known, state),
            notify=lambda _state, _alerts: None,
            batch_rows=10_000,
        )

    def tick(self) -> Tick:
        self.traffic.look()
        return self.flow.tick()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000.0)


@pytest.fixture
def two(
    postgresql: str, tmp_path: Path, clock: FakeClock
) -> Iterator[tuple[Controller, Controller]]:
    """Version 1 deployed and version 2, which always fails, at its first step."""
    name = f"controllers{next(_numbers)}"
    with psycopg.connect(postgresql + "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    made = tuple(Controller(postgresql + name, tmp_path / each, clock) for each in ("a", "b"))
    first = made[0].deployment
    with first.state.transaction() as state:
        for number in (1, 2):
            state.registry.add_version(version("m", number, "x"))
    first.deploy("m", 1, **WHO)
    first.start_rollout("m", 2, plan("roll_back"), **WHO)
    yield cast("tuple[Controller, Controller]", made)
    for each in made:
        each.deployment.close()


def actions(controller: Controller) -> list[str]:
    with controller.deployment.state.reading() as state:
        entries = state.audit.entries()
    assert audit.verify(entries) is None
    return [entry.action for entry in entries]


def test_only_the_leader_acts(two: tuple[Controller, Controller]) -> None:
    first, second = two
    assert (True, False) == (first.leadership.lead(), second.leadership.lead())
    with pytest.raises(Conflict):
        second.tick()
    assert ["deploy", "start"] == actions(first)
    first.tick()
    assert ["deploy", "start", "roll_back"] == actions(second)


def test_a_leader_that_wakes_after_it_was_deposed_does_nothing(
    two: tuple[Controller, Controller], clock: FakeClock
) -> None:
    first, second = two
    first.leadership.lead()
    clock.advance(LEASE_SECONDS + 1)
    assert second.leadership.lead()
    with pytest.raises(Conflict) as refused:
        first.tick()
    assert "deposed" == refused.value.code
    assert ["deploy", "start"] == actions(first)
    second.tick()
    with pytest.raises(Conflict):
        first.tick()
    assert ["deploy", "start", "roll_back"] == actions(first)


def test_who_takes_over_goes_on_where_the_other_stood(two: tuple[Controller, Controller]) -> None:
    first, second = two
    first.leadership.lead()
    first.tick()
    first.leadership.resign()
    assert second.leadership.lead()
    for _ in range(3):
        second.tick()
    assert ["deploy", "start", "roll_back"] == actions(second)
    with second.deployment.state.reading() as state:
        (rollout,) = state.control.rollouts("m")
        assert (RolloutState.ROLLED_BACK, 4) == (rollout.state, state.watch.offsets()["j"])


def test_of_machines_that_share_the_watching_one_watches_rollouts(
    two: tuple[Controller, Controller],
) -> None:
    first, second = two
    first.leadership.lead()
    watched = {}
    for each in two:
        book = SubjectBook(each.deployment, each.leadership.holds)
        with each.deployment.state.transaction() as state:
            watched[each] = [subject.key for subject in book(state) if "/rollout/" in subject.key]
    assert (1, 0) == (len(watched[first]), len(watched[second]))
