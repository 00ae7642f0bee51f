from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.rollout import audit, controller
from trimtab.rollout.change import Change
from trimtab.rollout.guardrails import GuardrailComparer, GuardrailWindows
from trimtab.rollout.judge import RolloutActor, RolloutJudge
from trimtab.rollout.split import slot
from trimtab.testing import FakeClock
from trimtab.types import (
    Alert,
    GuardrailAction,
    Matured,
    PredictionRecord,
    PromotionPolicy,
    Rollout,
    RolloutPlan,
    RolloutState,
    Severity,
    State,
    Verdict,
)

Make = Callable[..., Any]


class Walk:
    """One rollout through window, compare, judge and act, as the watcher does it."""

    def __init__(self, rollout: Rollout, state: Any) -> None:
        self.state = state
        self.id = rollout.id
        self.windows = GuardrailWindows(rollout)
        self.comparer = GuardrailComparer(rollout.plan)
        self.judge = RolloutJudge(rollout.plan)
        self.actor = RolloutActor(FakeClock(5_000.0))

    def tick(
        self, records: Sequence[PredictionRecord], matured: Sequence[Matured] = ()
    ) -> tuple[Verdict, list[Alert]]:
        (window,) = self.windows.fold(records, matured, self.state)
        verdict = self.judge.judge(window, self.comparer.compare(window))
        return verdict, list(self.actor.act(window, verdict, self.state))

    @property
    def rollout(self) -> Rollout:
        found: Rollout = self.state.rollout(self.id)
        return found


@pytest.fixture
def begin(state: Any, plan: RolloutPlan, who: Any) -> Callable[..., Walk]:
    def begin(**changes: Any) -> Walk:
        controller.deploy_first(Change(state, **who), "flights", 1)
        rollout = controller.start(Change(state, **who), "flights", replace(plan, **changes), 2)
        return Walk(rollout, state)

    return begin


@pytest.fixture
def traffic(record: Make, state: Any) -> Callable[..., list[PredictionRecord]]:
    """Users routed by the present slot table, spread evenly over a span of event time."""

    def traffic(
        users: int, start: float, end: float, *, fails: bool = False
    ) -> list[PredictionRecord]:
        route = state.route("flights")
        made = []
        for i in range(users):
            name = f"{start}-{i}"
            arm = route.slots[slot(route.salt, name)]
            made.append(
                record(
                    name,
                    arm=arm,
                    share=1.0 - route.arms[0].share,
                    event_time=start + (end - start) * i / (users - 1),
                    failed="model_failure" if arm and fails else None,
                )
            )
        return made

    return traffic


def test_a_failing_candidate_is_rolled_back_by_itself(
    begin: Callable[..., Walk], traffic: Make, state: Any
) -> None:
    walk = begin()
    verdict, alerts = walk.tick(traffic(400, 0.0, 10.0, fails=True))
    assert (State.DRIFTED, ("errors",), True, 10.0) == (
        verdict.state,
        verdict.flagged,
        verdict.alarmed,
        verdict.since,
    )
    assert RolloutState.ROLLED_BACK is walk.rollout.state
    assert [1] == [arm.version for arm in state.route("flights").arms]
    alert = state.opened[-1]
    assert [] == alerts
    assert state.log[-1] == alert.change
    assert ("flights/rollout/roll_back", Severity.TICKET, 2, 10.0) == (
        alert.key,
        alert.severity,
        alert.version,
        alert.event_time,
    )
    assert alert.body == walk.rollout.reason == state.log[-1].reason
    assert alert.body.startswith("Rolled back by the guardrail errors: the candidate had ")
    assert (audit.SYSTEM, "roll_back") == (state.log[-1].actor, state.log[-1].action)


def test_a_sound_candidate_climbs_step_by_step_and_is_promoted(
    begin: Callable[..., Walk], traffic: Make, outcome: Make, state: Any
) -> None:
    walk = begin(promote=PromotionPolicy.NO_HARM)
    seen = []
    for start in (0.0, 200.0, 400.0):
        early = traffic(200, start, start + 50.0)
        walk.tick(early, [outcome(r, 1.0) for r in early])
        assert start == walk.rollout.step_since
        seen.append((walk.rollout.step, state.route("flights").arms[1].share))
        walk.tick(traffic(2, start + 100.0, start + 110.0))
    assert [(0, 0.1), (1, 0.25), (2, 0.5)] == seen
    assert RolloutState.PROMOTED is walk.rollout.state
    assert [(2, 1.0)] == [(arm.version, arm.share) for arm in state.route("flights").arms]
    assert ["deploy", "start", "ramp", "ramp", "promote"] == [entry.action for entry in state.log]


def test_a_waiting_rollout_says_what_it_waits_for_and_raises_no_epoch(
    begin: Callable[..., Walk], traffic: Make, state: Any
) -> None:
    walk = begin()
    epoch = state.epoch()
    verdict, alerts = walk.tick(traffic(30, 0.0, 1.0))
    assert (State.NOT_ENOUGH_DATA, False, []) == (verdict.state, verdict.alarmed, alerts)
    assert "Step 1 of 3 (10.00%) bakes for 100 s of event time." == walk.rollout.reason
    walk.tick(traffic(30, 150.0, 151.0))
    assert (
        "Step 1 of 3 (10.00%) holds: not one outcome of this step has come in."
        == walk.rollout.reason
    )
    assert epoch == state.epoch()


@pytest.mark.parametrize(
    ("action", "ends_as", "key", "actions"),
    [
        (
            GuardrailAction.HOLD,
            RolloutState.HELD,
            "flights/rollout/hold",
            ["deploy", "start", "pause"],
        ),
        (
            GuardrailAction.ALERT,
            RolloutState.RUNNING,
            "flights/rollout/guardrail/errors",
            ["deploy", "start"],
        ),
    ],
)
def test_a_guardrail_does_what_its_plan_says(
    begin: Callable[..., Walk],
    traffic: Make,
    plan: RolloutPlan,
    state: Any,
    action: GuardrailAction,
    ends_as: RolloutState,
    key: str,
    actions: list[str],
) -> None:
    guardrails = tuple(replace(guardrail, action=action) for guardrail in plan.guardrails)
    walk = begin(guardrails=guardrails)
    verdict, alerts = walk.tick(traffic(400, 0.0, 10.0, fails=True))
    assert (ends_as, ("errors",)) == (walk.rollout.state, verdict.flagged)
    told = [*alerts, *state.opened]
    assert [key] == [alert.key for alert in told if alert.severity is Severity.TICKET]
    assert actions == [entry.action for entry in state.log]


def test_what_crosses_and_falls_within_one_batch_holds_once(
    begin: Callable[..., Walk], traffic: Make, plan: RolloutPlan, state: Any, who: Any
) -> None:
    guardrails = tuple(replace(g, action=GuardrailAction.HOLD) for g in plan.guardrails)
    walk = begin(guardrails=guardrails)
    harmed = traffic(400, 0.0, 10.0, fails=True)
    then = [replace(r, failed=None if r.arm else "model_failure") for r in traffic(400, 10.0, 20.0)]
    verdict, _ = walk.tick([*harmed, *then])
    errors = next(r for r in verdict.readings if r.guardrail == "errors")
    assert errors.crossing is not None
    assert errors.e_value < errors.limit
    assert RolloutState.HELD is walk.rollout.state
    assert f", {errors.e_value:.3g} now)." in walk.rollout.reason
    controller.resume(Change(state, **who), "flights")
    walk.tick(traffic(10, 20.0, 21.0))
    assert (RolloutState.RUNNING, ("1/errors",)) == (walk.rollout.state, walk.rollout.held_by)


def test_what_a_person_has_done_meanwhile_holds(
    begin: Callable[..., Walk], traffic: Make, state: Any, who: Any
) -> None:
    walk = begin()
    records = traffic(400, 0.0, 10.0, fails=True)
    controller.promote(Change(state, **who), "flights")
    _, alerts = walk.tick(records)
    assert (RolloutState.PROMOTED, []) == (walk.rollout.state, alerts)
    assert 2 == state.route("flights").champion


def test_a_held_rollout_does_not_climb_but_is_still_guarded(
    begin: Callable[..., Walk], traffic: Make, outcome: Make, state: Any, who: Any
) -> None:
    walk = begin()
    controller.pause(Change(state, **who), "flights")
    calm = traffic(100, 0.0, 500.0)
    walk.tick(calm, [outcome(r, 1.0) for r in calm])
    assert (RolloutState.HELD, 0, 0.0, "because") == (
        walk.rollout.state,
        walk.rollout.step,
        walk.rollout.step_since,
        walk.rollout.reason,
    )
    walk.tick(traffic(400, 501.0, 510.0, fails=True))
    assert RolloutState.ROLLED_BACK is walk.rollout.state


def test_the_next_rollout_settles_the_alerts_of_the_last(
    begin: Callable[..., Walk], traffic: Make, state: Any, plan: RolloutPlan, who: Any
) -> None:
    walk = begin()
    walk.tick(traffic(400, 0.0, 10.0, fails=True))
    alert = state.opened[-1]
    state.closed.clear()
    controller.start(Change(state, **who), "flights", plan, 3)
    assert alert.key in state.closed


def test_a_restarted_judge_remembers_since_when(
    begin: Callable[..., Walk], traffic: Make, plan: RolloutPlan
) -> None:
    guardrails = tuple(replace(g, action=GuardrailAction.ALERT) for g in plan.guardrails)
    walk = begin(guardrails=guardrails)
    first, _ = walk.tick(traffic(400, 0.0, 10.0, fails=True))
    judge = RolloutJudge(plan)
    judge.load(walk.judge.dump())
    walk.judge = judge
    second, _ = walk.tick(traffic(10, 20.0, 30.0))
    assert (10.0, 10.0, 30.0) == (first.since, second.since, second.end)


def test_a_verdict_carries_the_readings(begin: Callable[..., Walk], traffic: Make) -> None:
    walk = begin()
    verdict, _ = walk.tick(traffic(400, 0.0, 10.0))
    names = ["wrong", "errors", "bookings", "slow", "sample ratio"]
    assert names == [r.guardrail for r in verdict.readings]
    assert names == [c.name for c in verdict.comparisons]
    assert (400, 80.0) == (verdict.rows, pytest.approx(verdict.alarm_at))
