"""A bandit: what earns gets more, the same evidence gives the same shares, and nobody keeps an arm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from trimtab.errors import InvalidPlan
from trimtab.rollout import controller
from trimtab.rollout.bandit import BanditParts, BanditWindows
from trimtab.rollout.change import Change
from trimtab.rollout.plan import check_plan
from trimtab.rollout.router import Router
from trimtab.rollout.split import SLOTS
from trimtab.rollout.strategies.bandit import table, thompson
from trimtab.testing import FakeClock
from trimtab.types import GuardrailSpec, Matured, RampStep, Rollout, RolloutPlan, UnitEvent

Make = Callable[..., Any]
PLAN = RolloutPlan(
    strategy="bandit",
    steps=(RampStep(share=0.5, bake_seconds=100.0),),
    guardrails=(GuardrailSpec(name="errors", event=UnitEvent.ERROR),),
    explore=0.02,
)


@pytest.fixture
def rollout(state: Any, who: Any) -> Rollout:
    controller.deploy_first(Change(state, **who), "flights", 1)
    return controller.start(Change(state, **who), "flights", PLAN, (2, 3))


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=2, max_size=5),
    st.integers(0, 500),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_slots_add_up_keep_the_floor_and_follow_from_the_evidence(
    played: list[tuple[int, int]], floor: int, seed: int
) -> None:
    successes, trials = [s for s, _ in played], [s + f for s, f in played]
    slots = thompson(successes, trials, floor, seed)
    assert SLOTS == sum(slots)
    assert min(slots) >= floor
    assert slots == thompson(successes, trials, floor, seed)
    assert [table(slots).count(arm) for arm in range(len(slots))] == list(slots)


def test_what_earns_gets_the_traffic_and_a_lost_arm_nothing() -> None:
    assert thompson((10, 90, 10), (100, 100, 100), 100, 1)[1] > 9_700
    assert 0 == thompson((10, 90, 10), (100, -1, 100), 100, 1)[1]
    even = thompson((0, 0), (0, 0), 100, 1)
    assert abs(even[0] - 5_000) < 300


def test_a_key_decides_nothing(rollout: Rollout, state: Any) -> None:
    route, router = state.route("flights"), Router()
    found = {router.assign(route, "ada", f"prediction-{i}").arm for i in range(200)}
    assert {0, 1, 2} == found
    assert not router.assign(route, "ada", "p").sticky
    assert router.assign(route, "ada", "p") == router.assign(route, None, "p")
    assert "bandit" == route.strategy == rollout.plan.strategy


def test_outcomes_move_the_shares_when_they_are_due(
    rollout: Rollout, state: Any, record: Make, outcome: Make
) -> None:
    windows, parts = BanditWindows(rollout), BanditParts(FakeClock())

    def play(at: float) -> list[Any]:
        made = [
            record(f"{at}-{arm}-{i}", arm=arm, event_time=at, sticky=False, share=0.5)
            for arm in range(3)
            for i in range(50)
        ]
        known = [outcome(one, float(one.arm == 2)) for one in made]
        return list(windows.fold(made, known, state))

    assert [] == play(10.0)
    assert [] == play(109.0)
    (window,) = play(110.0)
    assert ((0, 0, 150), (150, 150, 150)) == (window.content.successes, window.content.trials)
    verdict = parts.judge(window, parts.compare(window))
    parts.act(window, verdict, state)
    route = state.route("flights")
    assert [0.02, 0.02, 0.96] == [arm.share for arm in route.arms]
    assert 9_600 == route.slots.count(2)
    entry = state.log[-1]
    assert ("shift", "trimtab", [0.02, 0.02, 0.96]) == (
        entry.action,
        entry.actor,
        entry.detail["shares"],
    )
    epoch = state.epoch()
    parts.act(window, verdict, state)
    assert epoch == state.epoch()
    controller.drop(Change(state, actor="ada", reason="bad", clock=FakeClock()), "flights", 3)
    assert [0.98, 0.02, 0.0] == [arm.share for arm in state.route("flights").arms]
    parts.act(window, verdict, state)
    assert 0.0 == state.route("flights").arms[2].share
    controller.roll_back(Change(state, actor="ada", reason="done", clock=FakeClock()), "flights")
    assert [] == parts.act(window, verdict, state)


def test_a_correction_takes_back_what_it_replaces_and_a_restart_changes_nothing(
    rollout: Rollout, state: Any, record: Make, outcome: Make
) -> None:
    one, other = record("a", arm=1, event_time=500.0), record("b", arm=2, event_time=1.0)
    steps: list[tuple[list[Any], list[Matured]]] = [
        ([other], []),
        ([one], [outcome(one, 1.0)]),
        ([], [outcome(one, 0.0, previous=1.0)]),
    ]

    def run(restart: bool) -> list[Any]:
        windows, found = BanditWindows(rollout), []
        for records, matured in steps:
            found += [w.content for w in windows.fold(records, matured, state)]
            if restart:
                fresh = BanditWindows(rollout)
                fresh.load(windows.dump())
                windows = fresh
        found.append(windows.dump())
        return found

    assert run(restart=False) == run(restart=True)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"steps": (*PLAN.steps, RampStep(share=0.9, bake_seconds=1.0))}, "bandit_steps"),
        ({"explore": 0.0}, "out_of_bounds"),
        ({"explore": 0.00001}, "share_too_fine"),
    ],
)
def test_plans_that_no_bandit_can_run_are_refused(changes: Any, code: str) -> None:
    with pytest.raises(InvalidPlan) as refused:
        check_plan(replace(PLAN, **changes))
    assert code == refused.value.code
