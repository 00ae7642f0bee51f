from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.rollout.decision import Move, decide
from trimtab.rollout.readings import RolloutReadings, StepFacts
from trimtab.types import (
    GuardrailAction,
    GuardrailReading,
    GuardrailSpec,
    Harm,
    PromotionPolicy,
    RampHours,
    RampStep,
    Rollout,
    RolloutPlan,
    RolloutState,
    UnitEvent,
)

WRONG = GuardrailSpec(
    name="wrong", event=UnitEvent.WRONG_DECISION, cost_per_event=40.0, currency="USD"
)
ERRORS = GuardrailSpec(name="errors", event=UnitEvent.ERROR)
PLAN = RolloutPlan(
    steps=(RampStep(share=0.1, bake_seconds=100.0), RampStep(share=0.5, bake_seconds=200.0)),
    guardrails=(WRONG, ERRORS),
)


def rollout(**changes: Any) -> Rollout:
    fields: dict[str, Any] = {
        "id": "flights-0001",
        "model": "flights",
        "control": 1,
        "candidate": 2,
        "plan": PLAN,
        "state": RolloutState.RUNNING,
        "step": 0,
        "salt": "s",
        "started_at": 0.0,
        "reason": "as it was",
    }
    return Rollout(**fields | changes)


def test_a_shadow_promotes_nobody() -> None:
    plan = replace(PLAN, strategy="shadow", guardrails=(ERRORS,), promote=PromotionPolicy.NO_HARM)
    decision = decide(rollout(plan=plan, step=1), found(QUIET, now=1_001.0))
    assert (Move.WAIT, True) == (decision.move, "certify nothing" in decision.reason)


def reading(name: str = "wrong", **changes: Any) -> GuardrailReading:
    fields: dict[str, Any] = {
        "guardrail": name,
        "units": (900, 100),
        "events": (90, 30),
        "e_value": 1.0,
        "e_peak": 1.5,
        "certificate": 1.0,
        "limit": 40.0,
        "excess": 20.0,
        "cost": 800.0,
        "currency": "USD",
    }
    return GuardrailReading(**fields | changes)


QUIET = reading("errors", events=(0, 0), excess=0.0, cost=None)
HARM = reading(e_value=50.0, e_peak=60.0, crossing=reading(e_value=50.0))


def found(
    *readings: GuardrailReading, now: float = 1_000.0, informed: bool = True, **changes: Any
) -> RolloutReadings:
    fields: dict[str, Any] = {
        "rollout": "flights-0001",
        "now": now,
        "readings": readings or (reading(), QUIET),
        "steps": (
            StepFacts(slots=1_000, since=900.0, informed=informed),
            StepFacts(slots=5_000, since=800.0, informed=informed),
        ),
        "split": split(),
    }
    return RolloutReadings(**fields | changes)


def split(**changes: Any) -> GuardrailReading:
    fields: dict[str, Any] = {
        "events": (900, 100), "excess": 0.0, "cost": None, "e_value": 0.5, "limit": 1_000.0,
    }  # fmt: skip
    return reading("sample ratio", **fields | changes)


def acting(action: GuardrailAction, **changes: Any) -> Rollout:
    plan = replace(PLAN, guardrails=(replace(WRONG, action=action), ERRORS))
    return rollout(plan=plan, **changes)


def test_established_harm_rolls_back_and_says_which_guardrail_units_and_cost() -> None:
    decision = decide(rollout(), found(HARM, QUIET, now=0.0))
    assert (Move.ROLL_BACK, "wrong") == (decision.move, decision.guardrail)
    assert decision.reason == (
        "Rolled back by the guardrail wrong: the candidate had 30 among 100 units, control 90 among "
        "900; about 20 more than its share explains, an estimated cost of 800 USD (evidence 50, "
        "limit 40)."
    )


def test_a_loss_is_told_as_fewer() -> None:
    plan = replace(PLAN, guardrails=(replace(WRONG, harm=Harm.FEWER), ERRORS))
    assert "about 20 fewer than its share" in decide(rollout(plan=plan), found(HARM, QUIET)).reason


def test_harm_once_established_stays_established() -> None:
    then = reading(e_value=41.0, e_peak=41.0, events=(80, 27), units=(800, 90), cost=720.0)
    fallen = replace(reading(e_value=2.0, e_peak=41.0), crossing=then)
    decision = decide(rollout(), found(fallen, QUIET))
    assert Move.ROLL_BACK is decision.move
    assert decision.reason == (
        "Rolled back by the guardrail wrong: the candidate had 27 among 90 units, control 80 among "
        "800; about 20 more than its share explains, an estimated cost of 720 USD (evidence 41, "
        "limit 40, 2 now)."
    )


def test_too_few_events_do_not_roll_back() -> None:
    few = reading(e_value=50.0, e_peak=60.0, events=(1, 8))
    assert Move.RAMP is decide(rollout(), found(few, QUIET)).move


def test_a_held_rollout_is_still_rolled_back_and_else_waits() -> None:
    held = rollout(state=RolloutState.HELD)
    assert Move.ROLL_BACK is decide(held, found(HARM, QUIET)).move
    assert (Move.WAIT, "as it was") == (decide(held, found()).move, decide(held, found()).reason)


def test_a_holding_guardrail_holds_once_and_while_its_evidence_stands() -> None:
    holding = acting(GuardrailAction.HOLD)
    assert Move.HOLD is decide(holding, found(HARM, QUIET)).move
    fallen = found(replace(HARM, e_value=2.0), QUIET)
    assert Move.HOLD is decide(holding, fallen).move, "it crossed within the batch"
    let_go_on = replace(holding, held_by=("1/wrong",))
    assert Move.RAMP is decide(let_go_on, fallen).move
    assert Move.HOLD is decide(let_go_on, found(HARM, QUIET)).move
    held = acting(GuardrailAction.HOLD, state=RolloutState.HELD)
    assert Move.WAIT is decide(held, found(HARM, QUIET)).move


def test_an_alerting_guardrail_lets_the_ramp_go_on_but_does_not_promote() -> None:
    assert Move.RAMP is decide(acting(GuardrailAction.ALERT), found(HARM, QUIET)).move
    for policy in PromotionPolicy:
        last = acting(GuardrailAction.ALERT, step=1)
        last = replace(last, plan=replace(last.plan, promote=policy))
        decision = decide(last, found(replace(HARM, certificate=99.0), QUIET))
        assert (Move.WAIT, True) == (decision.move, "harm is established" in decision.reason)


@pytest.mark.parametrize("state", [RolloutState.PROMOTED, RolloutState.ROLLED_BACK])
def test_an_ended_rollout_does_nothing(state: RolloutState) -> None:
    assert Move.WAIT is decide(rollout(state=state), found(HARM, QUIET)).move


@pytest.mark.parametrize(
    ("evidence", "move", "words"),
    [
        (found(steps=()), Move.WAIT, "waits for the first prediction with a routing key"),
        (found(now=999.9), Move.WAIT, "Step 1 of 2 (10.00%) bakes for 100 s of event time"),
        (found(informed=False), Move.WAIT, "not one outcome of this step has come in"),
        (found(), Move.RAMP, "on to 50.00%"),
    ],
)
def test_a_step_ends_when_it_has_baked_and_outcomes_have_come(
    evidence: RolloutReadings, move: Move, words: str
) -> None:
    decision = decide(rollout(), evidence)
    assert (move, True) == (decision.move, words in decision.reason), decision.reason


def test_the_bake_counts_from_the_kept_beginning() -> None:
    assert Move.WAIT is decide(rollout(step_since=950.0), found()).move


def test_without_outcome_guardrails_no_outcomes_are_waited_for() -> None:
    plan = replace(PLAN, guardrails=(ERRORS,))
    assert Move.RAMP is decide(rollout(plan=plan), found(QUIET, informed=False)).move


@pytest.mark.parametrize(
    ("policy", "readings", "move", "words"),
    [
        (PromotionPolicy.MANUAL, (), Move.WAIT, "a person has to promote"),
        (PromotionPolicy.NO_HARM, (), Move.PROMOTE, "No harm was established"),
        (PromotionPolicy.CERTIFIED, (), Move.WAIT, "not yet ruled out for wrong"),
        (
            PromotionPolicy.CERTIFIED,
            (reading(certificate=40.0), QUIET),
            Move.PROMOTE,
            "a harm of 20% or more is ruled out for wrong",
        ),
        (
            PromotionPolicy.CERTIFIED,
            (reading(certificate=40.0), replace(QUIET, events=(9, 1))),
            Move.WAIT,
            "not yet ruled out for errors",
        ),
    ],
)
def test_the_policy_decides_on_promotion(
    policy: PromotionPolicy, readings: tuple[GuardrailReading, ...], move: Move, words: str
) -> None:
    last = rollout(step=1, plan=replace(PLAN, promote=policy))
    decision = decide(last, found(*readings))
    assert (move, True) == (decision.move, words in decision.reason), decision.reason


def test_rare_errors_alone_certify_nothing() -> None:
    plan = replace(PLAN, guardrails=(ERRORS,))
    decision = decide(rollout(step=1, plan=plan), found(QUIET))
    assert (Move.WAIT, True) == (decision.move, "too few events" in decision.reason)


def test_a_broken_split_holds_a_rollout_and_says_what_was_expected() -> None:
    broken = split(e_value=2_000.0, e_peak=2_000.0, excess=-60.0)
    decision = decide(rollout(), found(split=broken))
    assert (Move.HOLD, "sample ratio") == (decision.move, decision.guardrail)
    assert decision.reason == (
        "Held: the split is not what it should be. sample ratio: 100 units reached the candidate, "
        "where its shares let one expect about 160 (evidence 2,000, limit 1,000)."
    )


def test_harm_goes_before_a_broken_split() -> None:
    broken = split(e_value=2_000.0, e_peak=2_000.0)
    assert Move.ROLL_BACK is decide(rollout(), found(HARM, QUIET, split=broken)).move


ASKING = replace(PLAN, steps=(PLAN.steps[0], replace(PLAN.steps[1], approval="operator")))


def test_a_step_that_needs_approval_waits_for_it() -> None:
    waiting = decide(rollout(plan=ASKING), found())
    assert Move.WAIT is waiting.move
    assert waiting.reason == (
        "Step 1 of 2 (10.00%) has baked without established harm; going on needs the approval of "
        "the role operator."
    )
    assert Move.RAMP is decide(rollout(plan=ASKING, approved=(1,)), found()).move


def test_an_approval_does_not_go_before_the_bake_time_nor_before_harm() -> None:
    approved = rollout(plan=ASKING, approved=(1,))
    assert "bakes for" in decide(approved, found(now=950.0)).reason
    assert Move.ROLL_BACK is decide(approved, found(HARM, QUIET)).move


SATURDAY_NOON, MONDAY_NOON = 1_754_740_800.0, 1_754_913_600.0


def at(now: float) -> RolloutReadings:
    steps = (StepFacts(slots=1_000, since=now - 500, informed=True),)
    return found(now=now, steps=steps)


def test_a_ramp_waits_for_the_plans_hours_and_rolling_back_does_not() -> None:
    working = rollout(plan=replace(PLAN, hours=RampHours(begin=9, end=17, days=(1, 2, 3, 4, 5))))
    weekend = decide(working, at(SATURDAY_NOON))
    assert Move.WAIT is weekend.move
    assert weekend.reason.endswith(
        "That waits until Mon 11 Aug 2025 09:00 UTC, when the plan's hours begin."
    )
    assert Move.RAMP is decide(working, at(MONDAY_NOON)).move
    harmed = replace(at(SATURDAY_NOON), readings=(HARM, QUIET))
    assert Move.ROLL_BACK is decide(working, harmed).move


@pytest.mark.parametrize(
    ("action", "state", "move"),
    [
        (GuardrailAction.HOLD, RolloutState.RUNNING, Move.HOLD),
        (GuardrailAction.HOLD, RolloutState.HELD, Move.WAIT),
        (GuardrailAction.ROLL_BACK, RolloutState.RUNNING, Move.ROLL_BACK),
        (GuardrailAction.ROLL_BACK, RolloutState.HELD, Move.ROLL_BACK),
    ],
)
def test_a_rollout_over_its_time_is_held_or_rolled_back(
    action: GuardrailAction, state: RolloutState, move: Move
) -> None:
    plan = replace(PLAN, time_limit_seconds=400.0, on_time_limit=action)
    late = rollout(plan=plan, state=state)
    assert move is decide(late, found(now=1_201.0)).move
    in_time = decide(rollout(plan=plan), found(now=1_200.0))
    assert Move.RAMP is in_time.move
