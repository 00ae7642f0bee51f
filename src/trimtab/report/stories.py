"""How each rollout went: where it stood, what its guardrails saw, what it cost, who decided."""

from __future__ import annotations

import math

from trimtab.report.charts import Mark
from trimtab.report.findings import ACT, GUARDRAIL, HEALTHY, RUNNING, WATCH
from trimtab.report.words import number, percent, plain
from trimtab.rollout.readings import SAMPLE_RATIO
from trimtab.types import (
    AuditEntry,
    GuardrailReading,
    Record,
    Rollout,
    RolloutState,
    Stake,
    Verdict,
)
from trimtab.wiring.overview import ModelOverview

_TONES = {
    RolloutState.RUNNING: RUNNING,
    RolloutState.HELD: WATCH,
    RolloutState.PROMOTED: HEALTHY,
    RolloutState.ROLLED_BACK: ACT,
}


class GuardrailStory(Record, frozen=True):
    """A guardrail's evidence so far.

    ``part`` is how far the peak of the evidence came on a logarithmic scale, in [0, 1]; 1 is harm
    established. ``cost`` is in words, empty where no cost is configured.
    """

    name: str
    reading: GuardrailReading
    part: float
    cost: str


class RolloutStory(Record, frozen=True):
    """One rollout. ``step`` is the one it stands or ended at; promoted, it is past the last one.

    ``decision`` is the audit entry that ended it, ``decisive`` the guardrail that rolled it back,
    ``at`` the event time of the newest evidence; ``at_stake`` says what may be lost before outcomes show
    it.
    """

    rollout: Rollout
    tone: str
    state: str
    shares: tuple[float, ...]
    step: int
    guardrails: tuple[GuardrailStory, ...]
    decisive: GuardrailStory | None
    decision: AuditEntry | None
    at: float | None
    at_stake: str


def rollout_stories(overview: ModelOverview) -> tuple[RolloutStory, ...]:
    """The model's rollouts, the newest first."""
    return tuple(_story(overview, rollout) for rollout in reversed(overview.rollouts))


def last_rollback(stories: tuple[RolloutStory, ...]) -> RolloutStory | None:
    """The newest rollout that was rolled back."""
    return next((s for s in stories if s.rollout.state is RolloutState.ROLLED_BACK), None)


def rollout_marks(stories: tuple[RolloutStory, ...]) -> tuple[Mark, ...]:
    """When rollouts ended, in event time."""
    ended = (RolloutState.PROMOTED, RolloutState.ROLLED_BACK)
    return tuple(
        Mark(at=story.at, words=f"v{story.rollout.candidate} {plain(story.rollout.state)}")
        for story in reversed(stories)
        if story.at is not None and story.rollout.state in ended
    )


def _story(overview: ModelOverview, rollout: Rollout) -> RolloutStory:
    shares = tuple(step.share for step in rollout.plan.steps)
    verdict = overview.latest(GUARDRAIL, rollout.candidate)
    if verdict is not None and _repeated(overview, rollout):
        verdict = None
    guardrails = tuple(_guardrail(reading) for reading in verdict.readings) if verdict else ()
    back = rollout.state is RolloutState.ROLLED_BACK
    return RolloutStory(
        rollout=rollout,
        tone=_TONES[rollout.state],
        state=_state(rollout),
        shares=shares,
        step=len(shares) if rollout.state is RolloutState.PROMOTED else rollout.step,
        guardrails=guardrails,
        decisive=_decisive(guardrails) if back else None,
        decision=_decision(overview, rollout),
        at=verdict.end if verdict else None,
        at_stake=_at_stake(overview, rollout, verdict),
    )


def _at_stake(overview: ModelOverview, rollout: Rollout, verdict: Verdict | None) -> str:
    """What can still be lost before outcomes show it, in words."""
    readings = () if verdict is None or overview.running != rollout else verdict.readings
    stakes = [(reading, reading.stake) for reading in readings if reading.stake is not None]
    if not any(stake.answers for _, stake in stakes):
        return ""
    said = (
        f"about {number(round(stakes[0][1].answers))} predictions are answered before their outcomes "
        "can show harm"
    )
    return ", at most ".join([said, *(_most(reading, stake) for reading, stake in stakes)])


def _most(reading: GuardrailReading, stake: Stake) -> str:
    """The most that those predictions can lose, in words."""
    cost = ""
    if stake.cost is not None:
        cost = f" ({number(round(stake.cost))} {reading.currency}".rstrip() + ")"
    return f"{number(round(stake.most))} of {plain(reading.guardrail)}{cost}"


def _repeated(overview: ModelOverview, rollout: Rollout) -> bool:
    """Whether the version was rolled out again: then the newest evidence is the later rollout's."""
    tries = [r.id for r in overview.rollouts if r.candidate == rollout.candidate]
    return tries[-1] != rollout.id


def _state(rollout: Rollout) -> str:
    steps = rollout.plan.steps
    at = percent(steps[min(rollout.step, len(steps) - 1)].share) if steps else "–"
    return {
        RolloutState.RUNNING: f"running at {at}",
        RolloutState.HELD: f"held at {at}",
        RolloutState.PROMOTED: "promoted",
        RolloutState.ROLLED_BACK: f"rolled back at {at}",
    }[rollout.state]


def _decision(overview: ModelOverview, rollout: Rollout) -> AuditEntry | None:
    """The newest audit entry that ended the rollout."""
    return next(
        (
            entry
            for entry in reversed(overview.events)
            if entry.detail.get("rollout") == rollout.id
            and entry.action in ("promote", "roll_back")
        ),
        None,
    )


def _guarding(stories: tuple[GuardrailStory, ...]) -> tuple[GuardrailStory, ...]:
    """Those that can establish harm: a broken split only says that nothing can be compared."""
    return tuple(story for story in stories if story.reading.guardrail != SAMPLE_RATIO)


def _decisive(stories: tuple[GuardrailStory, ...]) -> GuardrailStory | None:
    """The first guardrail that established harm, as it stood then."""
    crossings = (story.reading.crossing for story in _guarding(stories))
    return next((_guardrail(crossing) for crossing in crossings if crossing), None)


def _guardrail(reading: GuardrailReading) -> GuardrailStory:
    so_far = max(reading.e_peak, reading.e_value, 1.0)
    part = math.log(so_far) / math.log(reading.limit) if reading.limit > 1.0 else 1.0
    cost = ""
    if reading.cost is not None:
        cost = f"about {number(round(reading.cost))} {reading.currency}".rstrip()
    return GuardrailStory(
        name=plain(reading.guardrail), reading=reading, part=min(part, 1.0), cost=cost
    )
