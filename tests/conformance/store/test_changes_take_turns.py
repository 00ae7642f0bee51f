"""What was committed between another one's look at a rollout and its change is not undone by it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any, cast

import psycopg
import pytest
from tests.integration.controller_story import WHO, plan
from tests.registered import version

from trimtab.config import Config, StateConfig
from trimtab.errors import NotFound
from trimtab.protocols import ControlTx, StateTx
from trimtab.rollout import controller
from trimtab.rollout.change import Change
from trimtab.rollout.eprocess import mismatch
from trimtab.rollout.judge import RolloutActor
from trimtab.rollout.readings import SAMPLE_RATIO, SPLIT_LIMIT, RolloutReadings, StepFacts
from trimtab.testing import FakeClock
from trimtab.types import (
    GuardrailReading,
    Rollout,
    RolloutState,
    State,
    Verdict,
    Window,
)
from trimtab.wiring.deployment import Deployment


@pytest.fixture
def deployments(url: str, tmp_path: Path) -> Iterator[tuple[Deployment, Deployment]]:
    """Two hosts on one database; version 2 is at the first step of its rollout."""
    one, other = (
        Deployment.open(Config(state=StateConfig(dir=str(tmp_path / name), url=url)), FakeClock())
        for name in ("one", "other")
    )
    with one.state.transaction() as state:
        for number in (1, 2):
            state.registry.add_version(version("m", number, "x"))
    one.deploy("m", 1, **WHO)
    one.start_rollout("m", 2, plan("roll_back"), **WHO)
    yield one, other
    one.close()
    other.close()


class Interrupted:
    """A control whose reader is interrupted right after it has read the rollout."""

    def __init__(self, control: ControlTx, interrupt: Any) -> None:
        self._control = control
        self._interrupt = interrupt

    def rollout(self, rollout_id: str) -> Rollout | None:
        found = self._control.rollout(rollout_id)
        self._interrupt()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)


class Seen:
    """A transaction with another control."""

    def __init__(self, state: StateTx, control: Interrupted) -> None:
        self._state = state
        self.control = control

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)


def evidence(rollout: Rollout) -> tuple[Window, Verdict]:
    """One unit was seen, and nothing has happened to it."""
    split = mismatch().start()
    nothing: dict[str, Any] = {"units": (1, 0), "events": (0, 0), "certificate": 1.0}
    readings = tuple(
        GuardrailReading(guardrail=spec.name, e_value=1.0, e_peak=1.0, limit=20.0, **nothing)
        for spec in rollout.plan.guardrails
    )
    found = RolloutReadings(
        rollout=rollout.id,
        now=5.0,
        readings=readings,
        steps=(StepFacts(slots=1_000, since=5.0),),
        split=GuardrailReading(
            guardrail=SAMPLE_RATIO,
            e_value=split.e_value,
            e_peak=split.e_peak,
            limit=SPLIT_LIMIT,
            **nothing,
        ),
    )
    where: dict[str, Any] = {
        "subject": "guardrail",
        "model": "m",
        "version": 2,
        "start": 5.0,
        "end": 5.0,
        "rows": 1,
    }
    verdict = Verdict(
        state=State.STEADY,
        score=0.0,
        evidence=1.0,
        alarm_at=20.0,
        alarmed=False,
        since=None,
        comparisons=(),
        flagged=(),
        words="",
        **where,
    )
    return Window(content=found, **where), verdict


def waits_or_is_done(url: str, change: Future[Any]) -> None:
    """Until the change has been made, or waits for a lock; SQLite shows nobody that it waits."""
    if not url.startswith("postgresql"):
        return
    with psycopg.connect(url, autocommit=True) as connection:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        pause = Event()
        while not change.done() and connection.execute(waiting).fetchone() == (0,):
            pause.wait(0.01)


def test_a_rollback_is_not_undone_by_a_watcher_that_looked_before_it(
    url: str, deployments: tuple[Deployment, Deployment]
) -> None:
    watching, person = deployments
    with watching.state.reading() as state:
        (rollout,) = state.control.rollouts("m")
    window, verdict = evidence(rollout)
    with ThreadPoolExecutor(1) as threads:
        changes: list[Future[Any]] = []

        def interrupt() -> None:
            changes.append(threads.submit(person.roll_back, "m", **WHO))
            waits_or_is_done(url, changes[0])

        with watching.state.transaction() as state:
            seen = cast("StateTx", Seen(state, Interrupted(state.control, interrupt)))
            RolloutActor(watching.clock).act(window, verdict, seen)
        changes[0].result(timeout=30)
    with watching.state.reading() as state:
        (ended,) = state.control.rollouts("m")
        route = state.control.route("m")
        assert "roll_back" == state.audit.entries("m")[-1].action
    assert (RolloutState.ROLLED_BACK, WHO["reason"]) == (ended.state, ended.reason)
    assert route is not None
    assert [(1, 1.0)] == [(arm.version, arm.share) for arm in route.arms]


def test_of_two_people_the_second_decides_on_what_the_first_has_left(
    url: str, deployments: tuple[Deployment, Deployment]
) -> None:
    first, second = deployments
    with ThreadPoolExecutor(1) as threads:
        with first.state.transaction() as state:
            controller.roll_back(Change(state, clock=first.clock, **WHO), "m")
            held = threads.submit(second.pause, "m", **WHO)
            waits_or_is_done(url, held)
        with pytest.raises(NotFound, match="No rollout of 'm' is under way"):
            held.result(timeout=30)
    with first.state.reading() as state:
        (ended,) = state.control.rollouts("m")
    assert RolloutState.ROLLED_BACK == ended.state
