"""A rollout's life on the real state store: transactions, fencing, audit chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.registered import register, version

from trimtab.errors import Conflict
from trimtab.protocols import StateStore, StateTx
from trimtab.rollout import audit, controller
from trimtab.rollout.change import Change
from trimtab.rollout.guardrails import GuardrailComparer, GuardrailWindows
from trimtab.rollout.judge import RolloutActor, RolloutJudge
from trimtab.rollout.split import slot, unit_hash
from trimtab.store.state import open_state
from trimtab.testing import FakeClock
from trimtab.types import (
    Alert,
    GuardrailSpec,
    PredictionRecord,
    RampStep,
    RolloutPlan,
    RolloutState,
    Task,
    UnitEvent,
)

PLAN = RolloutPlan(
    steps=(RampStep(share=0.1, bake_seconds=900.0), RampStep(share=0.5, bake_seconds=900.0)),
    guardrails=(GuardrailSpec(name="errors", event=UnitEvent.ERROR),),
)
WHO: dict[str, Any] = {"actor": "ada", "reason": "because", "clock": FakeClock(1_000.5)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    """Version 1 deployed, version 2 at its first step."""
    opened = open_state(f"sqlite:///{tmp_path}/state.db")
    with opened.transaction() as state:
        register(
            state,
            (
                version("flights", number, "distance", task=Task.BINARY, labels=("on time", "late"))
                for number in (1, 2, 3)
            ),
        )
        controller.deploy_first(Change(state, **WHO), "flights", 1)
        controller.start(Change(state, **WHO), "flights", PLAN, 2)
    yield opened
    opened.close()


def records(state: StateTx, users: int) -> list[PredictionRecord]:
    """Keyed users at event times 0, 1, ...; whoever gets the candidate sees it fail."""
    route = state.control.route("flights")
    if route is None:
        return []
    arms = [route.slots[slot(route.salt, f"user-{i}")] for i in range(users)]
    return [
        PredictionRecord(
            prediction_id=f"p{i}",
            request_id=None,
            event_time=float(i),
            wall_time=float(i),
            model="flights",
            version=1,
            digest="sha256:1",
            epoch=route.epoch,
            rollout=route.rollout,
            arm=arm,
            share=1.0 - route.arms[0].share,
            unit=unit_hash(f"user-{i}"),
            sticky=True,
            values=(),
            sources="",
            ages_seconds=(),
            score=0.5,
            outputs=(0.5, 0.5),
            positive=True,
            latency_ms=1.0,
            failed="model_failure" if arm else None,
        )
        for i, arm in enumerate(arms)
    ]


def watch(
    state: StateTx, batch: list[PredictionRecord], saved: bytes | None
) -> tuple[bytes, list[Alert]]:
    """One tick of the watcher, started anew from what it saved."""
    rollout = state.control.rollouts("flights")[-1]
    windows, judge = GuardrailWindows(rollout), RolloutJudge(rollout.plan)
    if saved is not None:
        windows.load(saved)
    alerts: list[Alert] = []
    for window in windows.fold(batch, [], state):
        verdict = judge.judge(window, GuardrailComparer(rollout.plan).compare(window))
        alerts += RolloutActor(FakeClock(2_000.0)).act(window, verdict, state)
        state.watch.add_verdict(verdict)
    return windows.dump(), alerts


def test_a_failing_candidate_is_gone_after_restarts_between_all_batches(store: StateStore) -> None:
    saved: bytes | None = None
    alerts: list[Alert] = []
    with store.reading() as state:
        stream = records(state, 500)
    for begin in range(0, 500, 50):
        with store.transaction() as state:
            saved, told = watch(state, stream[begin : begin + 50], saved)
        alerts += told
    with store.reading() as state:
        route, (rollout,) = state.control.route("flights"), state.control.rollouts("flights")
        entries, kept = state.audit.entries(), state.alerts.alerts("flights")
        (*_, verdict) = state.watch.verdicts("flights", "guardrail")
    assert RolloutState.ROLLED_BACK is rollout.state
    assert route is not None
    assert (3, bytes(10_000), 1) == (route.epoch, route.slots, route.champion)
    assert [] == alerts
    open_keys = [alert.key for alert, _, closed in kept if closed is None]
    assert ["flights/rollout/roll_back"] == open_keys
    assert ["deploy", "start", "roll_back"] == [entry.action for entry in entries]
    assert audit.verify(entries) is None
    assert ("errors",) == verdict.flagged
    assert verdict.readings[0].events[0] == 0


def test_a_change_that_dies_half_way_has_not_happened(store: StateStore) -> None:
    def die() -> None:
        with store.transaction() as state:
            controller.promote(Change(state, **WHO), "flights")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die()
    with store.reading() as state:
        assert 2 == state.control.epoch()
        assert RolloutState.RUNNING is state.control.rollouts("flights")[0].state
        assert ["deploy", "start"] == [entry.action for entry in state.audit.entries()]
        assert {"champion": 1, "challenger": 2} == {
            alias.alias: alias.version for alias in state.registry.aliases("flights")
        }


def test_a_deposed_controller_cannot_undo_a_rollback(store: StateStore) -> None:
    with store.reading() as state:
        seen = state.control.epoch()
    with store.transaction() as state:
        controller.roll_back(Change(state, **WHO), "flights")
        controller.start(Change(state, **WHO), "flights", PLAN, 3)
    for step in (controller.advance, controller.promote, controller.roll_back):
        with store.transaction() as state, pytest.raises(Conflict):
            step(Change(state, expected_epoch=seen, **WHO), "flights")
    with store.reading() as state:
        route = state.control.route("flights")
        assert route is not None
        assert [1, 3] == [arm.version for arm in route.arms]
        assert seen + 2 == state.control.epoch()
