"""Several candidates at once: each has its slots, its evidence and its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.errors import Conflict, InvalidPlan, NotFound
from trimtab.rollout import controller
from trimtab.rollout.arms import against_control, candidates, shares_at
from trimtab.rollout.change import Change
from trimtab.rollout.guardrails import GuardrailComparer, GuardrailWindows
from trimtab.rollout.judge import RolloutActor, RolloutJudge
from trimtab.rollout.plan import check_plan
from trimtab.testing import FakeClock
from trimtab.types import (
    GuardrailSpec,
    PromotionPolicy,
    RampStep,
    Rollout,
    RolloutPlan,
    RolloutState,
    UnitEvent,
)

Make = Callable[..., Any]
PLAN = RolloutPlan(
    strategy="ab",
    steps=(
        RampStep(share=0.2, bake_seconds=100.0),
        RampStep(shares=(0.1, 0.25), bake_seconds=100.0),
        RampStep(shares=(0.5, 0.5), bake_seconds=100.0),
    ),
    guardrails=(GuardrailSpec(name="errors", event=UnitEvent.ERROR),),
    promote=PromotionPolicy.NO_HARM,
)


@pytest.fixture
def rollout(state: Any, who: Any) -> Rollout:
    controller.deploy_first(Change(state, **who), "flights", 1)
    return controller.start(Change(state, **who), "flights", PLAN, (2, 3))


def owners(state: Any) -> list[int]:
    return list(state.route("flights").slots)


def test_a_share_is_split_evenly_unless_each_is_stated(rollout: Rollout, state: Any) -> None:
    assert [(0.1, 0.1), (0.1, 0.25), (0.5, 0.5)] == [shares_at(rollout, i) for i in range(3)]
    assert (0.2, 0.35, 1.0) == tuple(step.share for step in PLAN.steps)
    arms = state.route("flights").arms
    assert [("champion", 1, 0.8), ("candidate", 2, 0.1), ("candidate-2", 3, 0.1)] == [
        (arm.name, arm.version, arm.share) for arm in arms
    ]


def test_what_cannot_be_divided_goes_to_the_first(rollout: Rollout) -> None:
    odd = replace(PLAN, steps=(RampStep(share=0.0003, bake_seconds=0.0),))
    assert (0.0002, 0.0001) == shares_at(replace(rollout, plan=odd), 0)


def test_a_candidate_that_is_dropped_gives_its_slots_to_control_and_moves_nobody_else(
    rollout: Rollout, state: Any, who: Any
) -> None:
    before = owners(state)
    controller.drop(Change(state, **who), "flights", 3)
    after = owners(state)
    moved = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
    assert ({(2, 0)}, 1_000) == (moved, after.count(1))
    assert [0.9, 0.1, 0.0] == [arm.share for arm in state.route("flights").arms]
    assert "drop" == state.log[-1].action
    assert 3 == state.log[-1].detail["version"]
    grown = controller.advance(Change(state, **who), "flights")
    assert ((0.1, 0.0), 0) == (shares_at(grown, 1), owners(state).count(2))
    with pytest.raises(NotFound, match="Version 3 is no candidate"):
        controller.drop(Change(state, **who), "flights", 3)
    controller.drop(Change(state, **who), "flights", 2)
    assert RolloutState.ROLLED_BACK is state.rollout(rollout.id).state
    assert {0} == set(owners(state))


def test_promoting_one_of_several_names_it(rollout: Rollout, state: Any, who: Any) -> None:
    with pytest.raises(Conflict, match="Several candidates") as refused:
        controller.promote(Change(state, **who), "flights")
    assert ("which_candidate", "Name one: 2, 3.") == (refused.value.code, refused.value.hint)
    ended = controller.promote(Change(state, **who), "flights", version=3)
    assert (3, (2,), 3) == (ended.candidate, ended.rivals, state.route("flights").champion)
    controller.roll_back(Change(state, **who), "flights")
    assert 1 == state.route("flights").champion
    assert rollout.id == ended.id


def test_a_promoted_rollout_still_knows_which_candidate_was_taken_off(
    rollout: Rollout, state: Any, who: Any
) -> None:
    assert (2, 3) == candidates(rollout)
    controller.drop(Change(state, **who), "flights", 2)
    ended = controller.promote(Change(state, **who), "flights")
    assert (3, (2,), (2,)) == (ended.candidate, ended.rivals, ended.lost)


@pytest.mark.parametrize(
    ("changes", "versions", "code"),
    [
        ({"strategy": "canary"}, (2, 3), "one_candidate"),
        ({}, (2, 2), "candidate_named_twice"),
        ({}, (2, 1), "candidate_is_champion"),
        ({}, (2,), "shares_and_candidates"),
    ],
)
def test_candidates_that_do_not_fit_are_refused(
    state: Any, who: Any, changes: Any, versions: Any, code: str
) -> None:
    controller.deploy_first(Change(state, **who), "flights", 1)
    with pytest.raises(InvalidPlan) as refused:
        controller.start(Change(state, **who), "flights", replace(PLAN, **changes), versions)
    assert code == refused.value.code


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([(0.1, 0.2), (0.3, 0.1)], "arm_shrinks"),
        ([(0.1, 0.2), (0.7, 0.4)], "shares_over_one"),
    ],
)
def test_shares_only_grow_and_fit(steps: list[tuple[float, ...]], code: str) -> None:
    plan = replace(PLAN, steps=tuple(RampStep(shares=s, bake_seconds=0.0) for s in steps))
    with pytest.raises(InvalidPlan) as refused:
        check_plan(plan)
    assert code == refused.value.code


def test_each_candidate_is_judged_against_control_alone(
    rollout: Rollout, state: Any, record: Make
) -> None:
    shares = (0.8, 0.1, 0.1)
    mine = [record(f"m{i}", arm=1, share=0.2, shares=shares) for i in range(20)]
    theirs = [record(f"t{i}", arm=2, share=0.2, shares=shares, failed="timeout") for i in range(30)]
    control = [record(f"c{i}", share=0.2, shares=shares) for i in range(160)]
    windows = [GuardrailWindows(rollout, arm) for arm in (1, 2)]
    first, second = (next(iter(w.fold([*mine, *theirs, *control], [], state))) for w in windows)
    assert [(160, 20), (160, 30)] == [w.content.readings[0].units for w in (first, second)]
    assert [(0, 0), (0, 30)] == [w.content.readings[0].events for w in (first, second)]
    assert [2, 3] == [first.version, second.version]
    assert {2 / 0.05} == {w.content.readings[0].limit for w in (first, second)}
    assert pytest.approx(1 / 9) == against_control(1, 0.2, shares)
    verdicts = [RolloutJudge(PLAN).judge(w, _compared(w)) for w in (first, second)]
    actor = RolloutActor(FakeClock())
    for window, verdict in zip((first, second), verdicts, strict=True):
        actor.act(window, verdict, state)
    kept = state.rollout(rollout.id)
    assert (RolloutState.RUNNING, (2,)) == (kept.state, kept.lost)
    assert [1, 2] == [state.route("flights").champion, state.route("flights").arms[1].version]
    assert 0.1 == state.route("flights").arms[1].share
    assert [] == actor.act(second, verdicts[1], state)


def test_candidates_go_on_together(rollout: Rollout, state: Any, record: Make) -> None:
    actor = RolloutActor(FakeClock())
    shares = (0.8, 0.1, 0.1)

    def look(arm: int, at: float) -> Rollout:
        made = record(f"{arm}-{at}", arm=arm, share=0.2, shares=shares, event_time=at)
        (window,) = windows[arm].fold([made], [], state)
        actor.act(window, RolloutJudge(PLAN).judge(window, _compared(window)), state)
        kept = state.rollout(rollout.id)
        assert isinstance(kept, Rollout)
        return kept

    windows = {arm: GuardrailWindows(rollout, arm) for arm in (1, 2)}
    assert 0 == look(1, 10.0).step
    assert 0 == look(2, 10.0).step
    assert (0, (2,)) == ((kept := look(2, 200.0)).step, kept.baked)
    assert (1, ()) == ((kept := look(1, 200.0)).step, kept.baked)


def _compared(window: Any) -> Any:
    return GuardrailComparer(PLAN).compare(window)
