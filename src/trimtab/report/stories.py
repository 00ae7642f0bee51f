"""How each rollout went: where it stood, what its guardrails saw, what it cost, who decided."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.report.charts import Mark
from trimtab.report.findings import ACT, GUARDRAIL, HEALTHY, RUNNING, WATCH
from trimtab.report.words import number, percent, plain
from trimtab.rollout.arms import candidates, left
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
    """A guardrail's evidence on one candidate so far.

    ``part`` is how far the peak of the evidence came on a logarithmic scale, in [0, 1]; 1 is harm
    established. ``cost`` is in words, empty where no cost is configured.
    """

    name: str
    version: int
    reading: GuardrailReading
    part: float
    cost: str


class RolloutStory(Record, frozen=True):
    """One rollout. ``step`` is the one it stands or ended at; promoted, it is past the last one.

    ``versions`` are the candidates, ``off`` those of them that were taken off the traffic.

    ``decision`` is the audit entry that ended it, ``decisive`` the guardrail that rolled it back,
    ``at`` the event time of the newest evidence; ``at_stake`` says what may be lost before outcomes show
    it.
    """

    rollout: Rollout
    versions: tuple[int, ...]
    off: tuple[int, ...]
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
    versions = candidates(rollout)
    found = [_verdict(overview, rollout, version) for version in versions]
    verdicts = [verdict for verdict in found if verdict is not None]
    guardrails = tuple(
        _guardrail(reading, verdict.version) for verdict in verdicts for reading in verdict.readings
    )
    back = rollout.state is RolloutState.ROLLED_BACK
    return RolloutStory(
        rollout=rollout,
        versions=versions,
        off=tuple(versions[arm - 1] for arm in rollout.lost),
        tone=_TONES[rollout.state],
        state=_state(rollout),
        shares=shares,
        step=len(shares) if rollout.state is RolloutState.PROMOTED else rollout.step,
        guardrails=guardrails,
        decisive=_decisive(guardrails) if back else None,
        decision=_decision(overview, rollout),
        at=max((verdict.end for verdict in verdicts), default=None),
        at_stake=_at_stake(overview, rollout, verdicts),
    )


def _verdict(overview: ModelOverview, rollout: Rollout, version: int) -> Verdict | None:
    """The newest verdict on a candidate in this rollout; the version may have been in others."""
    return next(
        (
            verdict
            for verdict in reversed(overview.verdicts)
            if (verdict.subject, verdict.version) == (GUARDRAIL, version)
            and verdict.rollout == rollout.id
        ),
        None,
    )


def _at_stake(overview: ModelOverview, rollout: Rollout, verdicts: Sequence[Verdict]) -> str:
    """What can still be lost before outcomes show it, in words; of several candidates by version."""
    if overview.running != rollout:
        return ""
    numbers = candidates(rollout)
    alive = {numbers[arm - 1] for arm in left(rollout)}
    said = {v.version: _stakes(v.readings) for v in verdicts if v.version in alive}
    if len(numbers) == 1:
        return "".join(said.values())
    return "; ".join(f"version {version}: {words}" for version, words in said.items() if words)


def _stakes(readings: Sequence[GuardrailReading]) -> str:
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
    crossings = ((story.reading.crossing, story.version) for story in _guarding(stories))
    return next((_guardrail(crossing, of) for crossing, of in crossings if crossing), None)


def _guardrail(reading: GuardrailReading, version: int) -> GuardrailStory:
    so_far = max(reading.e_peak, reading.e_value, 1.0)
    part = math.log(so_far) / math.log(reading.limit) if reading.limit > 1.0 else 1.0
    cost = ""
    if reading.cost is not None:
        cost = f"about {number(round(reading.cost))} {reading.currency}".rstrip()
    return GuardrailStory(
        name=plain(reading.guardrail),
        version=version,
        reading=reading,
        part=min(part, 1.0),
        cost=cost,
    )
