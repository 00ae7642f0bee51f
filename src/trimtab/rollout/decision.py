"""judge -> act for a rollout: what is to be done now, as a pure function of plan and evidence."""

from __future__ import annotations

from enum import StrEnum

from trimtab.rollout.arms import candidates, left, share_now
from trimtab.rollout.readings import (
    OUTCOME_EVENTS,
    SAMPLE_RATIO,
    RolloutReadings,
    certified,
    crossed,
    split_broken,
    split_words,
    words,
)
from trimtab.rollout.schedule import next_opening
from trimtab.rollout.strategies.bandit import Bandit
from trimtab.rollout.strategies.shadow import Shadow
from trimtab.types import (
    GuardrailAction,
    GuardrailReading,
    GuardrailSpec,
    PromotionPolicy,
    Record,
    Rollout,
    RolloutState,
    UnitEvent,
)


class Move(StrEnum):
    """What a rollout does next."""

    WAIT = "wait"
    RAMP = "ramp"
    HOLD = "hold"
    ROLL_BACK = "roll_back"
    PROMOTE = "promote"


class Decision(Record, frozen=True):
    """A move and why, in words; ``guardrail`` is the one that decided, if one did."""

    move: Move
    reason: str
    guardrail: str = ""


def decide(rollout: Rollout, found: RolloutReadings) -> Decision:
    """The next move.

    Harm comes first: a crossed guardrail rolls back or holds in whatever state. Then the split: while
    units do not reach the arms as stated, no comparison can be trusted. Then the step's bake
    time in event time, then outcomes of this step (without them a ramp would be blind), then the next
    step, and after the last one the promotion policy.

    Args:
        rollout: Where it stands.
        found: The evidence, with the event time of now.
    """
    if rollout.state not in (RolloutState.RUNNING, RolloutState.HELD):
        return Decision(move=Move.WAIT, reason=rollout.reason)
    return (
        _stop(rollout, found)
        or _too_long(rollout, found)
        or _held(rollout)
        or _in_hours(rollout, found, _go_on(rollout, found))
    )


def _stop(rollout: Rollout, found: RolloutReadings) -> Decision | None:
    harmed = [pair for pair in _pairs(rollout, found) if crossed(pair[1])]
    for spec, reading in harmed:
        if spec.action is GuardrailAction.ROLL_BACK:
            return Decision(
                move=Move.ROLL_BACK,
                reason=f"Rolled back by the guardrail {words(spec, reading)}",
                guardrail=spec.name,
            )
    if rollout.state is RolloutState.HELD:
        return None
    for spec, reading in harmed:
        # Once for having crossed; a person who lets it go on is held again while the evidence stands.
        stands = (
            crossing(found.arm, spec.name) not in rollout.held_by
            or reading.e_value >= reading.limit
        )
        if spec.action is GuardrailAction.HOLD and stands:
            return Decision(
                move=Move.HOLD,
                reason=f"Held by the guardrail {words(spec, reading)}",
                guardrail=spec.name,
            )
    if split_broken(found.split):
        return Decision(
            move=Move.HOLD,
            reason=f"Held: the split is not what it should be. {split_words(found.split)}",
            guardrail=SAMPLE_RATIO,
        )
    return None


def crossing(arm: int, guardrail: str) -> str:
    """What a rollout was held by: ``1/errors`` is the first candidate's crossing of that guardrail."""
    return f"{arm}/{guardrail}"


def _too_long(rollout: Rollout, found: RolloutReadings) -> Decision | None:
    limit, action = rollout.plan.time_limit_seconds, rollout.plan.on_time_limit
    if limit is None or not found.steps:
        return None
    if found.now <= min(step.since for step in found.steps) + limit:
        return None
    why = f"The rollout has not ended within its {limit:g} s of event time."
    if action is GuardrailAction.ROLL_BACK:
        return Decision(move=Move.ROLL_BACK, reason=why)
    if action is GuardrailAction.HOLD and rollout.state is RolloutState.RUNNING:
        return Decision(move=Move.HOLD, reason=why)
    return None


def _in_hours(rollout: Rollout, found: RolloutReadings, decision: Decision) -> Decision:
    """What would give the candidate more waits for the plan's hours."""
    hours = rollout.plan.hours
    if hours is None or decision.move not in (Move.RAMP, Move.PROMOTE):
        return decision
    opens = next_opening(hours, found.now)
    if opens is None:
        return decision
    return _wait(f"{decision.reason} That waits until {opens}, when the plan's hours begin.")


def _held(rollout: Rollout) -> Decision | None:
    if rollout.state is not RolloutState.HELD:
        return None
    return Decision(move=Move.WAIT, reason=rollout.reason)


def _go_on(rollout: Rollout, found: RolloutReadings) -> Decision:
    steps, guardrails = rollout.plan.steps, rollout.plan.guardrails
    step = steps[rollout.step]
    here = f"Step {rollout.step + 1} of {len(steps)} ({step.share:.2%})"
    seen = found.at(share_now(rollout))
    if seen is None:
        return _wait(f"{here} waits for the first prediction with a routing key.")
    since = seen.since if rollout.step_since is None else rollout.step_since
    if found.now < since + step.bake_seconds:
        return _wait(f"{here} bakes for {step.bake_seconds:g} s of event time.")
    if not seen.informed and any(g.event in OUTCOME_EVENTS for g in guardrails):
        return _wait(f"{here} holds: not one outcome of this step has come in.")
    if rollout.step + 1 < len(steps):
        role = steps[rollout.step + 1].approval
        if role and rollout.step + 1 not in rollout.approved:
            return _wait(
                f"{here} has baked without established harm; going on needs the approval of "
                f"the role {role}."
            )
        share = steps[rollout.step + 1].share
        return Decision(
            move=Move.RAMP,
            reason=f"{here} baked for {step.bake_seconds:g} s without established harm; "
            f"on to {share:.2%}.",
        )
    return _promotion(rollout, found, here)


def _promotion(rollout: Rollout, found: RolloutReadings, here: str) -> Decision:
    plan, pairs = rollout.plan, _pairs(rollout, found)
    undecided = _undecided(rollout)
    if undecided:
        return _wait(f"{here} has baked{undecided}")
    if any(crossed(reading) for _, reading in pairs):
        return _wait(f"{here} has baked; harm is established, so a person has to decide.")
    if plan.promote is PromotionPolicy.MANUAL:
        return _wait(f"{here} has baked; a person has to promote.")
    if plan.promote is PromotionPolicy.NO_HARM:
        return Decision(
            move=Move.PROMOTE, reason="No harm was established, which is what the policy asks for."
        )
    needed = [(spec, reading) for spec, reading in pairs if _must_certify(spec, reading)]
    open_ = [spec.name for spec, reading in needed if not certified(reading)]
    margin = f"a harm of {plan.certificate_margin:.0%} or more"
    if open_ or not needed:
        of = ", ".join(open_) or "any guardrail: there are too few events"
        return _wait(f"{here} has baked; {margin} is not yet ruled out for {of}.")
    names = ", ".join(spec.name for spec, _ in needed)
    return Decision(move=Move.PROMOTE, reason=f"Certified: {margin} is ruled out for {names}.")


def _undecided(rollout: Rollout) -> str:
    """Why no evidence could promote, in words; empty if it can."""
    if rollout.plan.strategy == Shadow.name:
        return (
            " without established harm. Answers that nobody got certify nothing: roll it back, and "
            "start a canary."
        )
    if rollout.plan.strategy == Bandit.name:
        return "; a bandit moves its shares by itself, and a person promotes."
    if len(left(rollout)) > 1:
        versions = candidates(rollout)
        named = ", ".join(str(versions[arm - 1]) for arm in left(rollout))
        return f"; a person has to choose among the versions {named}."
    return ""


def _must_certify(spec: GuardrailSpec, reading: GuardrailReading) -> bool:
    """Errors and slow answers may be too rare for a relative bound; outcomes are what it is about.

    Scores that differ are no harm by themselves, so that they are alike certifies nothing.
    """
    if spec.event is UnitEvent.PREDICTION_DRIFT:
        return False
    return spec.event in OUTCOME_EVENTS or sum(reading.events) >= max(spec.min_events, 1)


def _pairs(
    rollout: Rollout, found: RolloutReadings
) -> list[tuple[GuardrailSpec, GuardrailReading]]:
    return list(zip(rollout.plan.guardrails, found.readings, strict=True))


def _wait(reason: str) -> Decision:
    return Decision(move=Move.WAIT, reason=reason)
