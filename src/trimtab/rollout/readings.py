"""What a rollout's guardrails read: the content of its windows, and how it is told to people."""

from __future__ import annotations

from trimtab.rollout.slots import whole_slots
from trimtab.types import (
    GuardrailReading,
    GuardrailSpec,
    Harm,
    Record,
    RolloutPlan,
    UnitEvent,
)

OUTCOME_EVENTS = frozenset(
    {
        UnitEvent.WRONG_DECISION,
        UnitEvent.MISSED_POSITIVE,
        UnitEvent.FALSE_ALARM,
        UnitEvent.POSITIVE_OUTCOME,
        UnitEvent.OUTCOME_VALUE,
    }
)


SAMPLE_RATIO = "sample ratio"
_MOST_TOLD = 1_000_000
SPLIT_LIMIT = 1_000.0
"""The e-value at which the split is held to be broken: alpha 0.001, beside the plan's."""


class StepFacts(Record, frozen=True):
    """What was seen at one share: since when (event time), and whether any outcome has come in."""

    slots: int
    since: float
    informed: bool = False


class RolloutReadings(Record, frozen=True):
    """A rollout's evidence at event time ``now``: one reading a guardrail, in the plan's order.

    ``split`` is about the split itself: whether units reach the arms in the stated shares. Its
    ``excess`` are the candidate's units beyond those. ``arm`` is the candidate's.
    """

    rollout: str
    now: float
    readings: tuple[GuardrailReading, ...]
    steps: tuple[StepFacts, ...]
    split: GuardrailReading
    arm: int = 1

    def at(self, share: float) -> StepFacts | None:
        """What was seen at a share, None before its first unit."""
        slots = whole_slots(share)
        return next((step for step in self.steps if step.slots == slots), None)


def limits(plan: RolloutPlan, candidates: int = 1) -> tuple[float, ...]:
    """The e-value at which each guardrail is crossed: ``candidates * sum(weights) / (alpha * weight)``.

    The plan's alpha is split over the candidates that began, and by weight over the guardrails; by the
    union bound it holds over all of them, however they depend on each other.
    """
    total = candidates * sum(guardrail.weight for guardrail in plan.guardrails)
    return tuple(total / (plan.alpha * guardrail.weight) for guardrail in plan.guardrails)


def crossed(reading: GuardrailReading) -> bool:
    """Whether harm was established: with events enough, the e-value once stood at its limit."""
    return reading.crossing is not None


def certified(reading: GuardrailReading) -> bool:
    """Whether the harm of the certificate's margin is ruled out."""
    return reading.certificate >= reading.limit


def split_broken(reading: GuardrailReading) -> bool:
    """Whether units do not reach the arms in the stated shares, so that no comparison can be trusted."""
    return reading.e_value >= reading.limit


def split_effect(reading: GuardrailReading) -> float:
    """How far the candidate's units are from the expected ones, relative to these, in [0, 1].

    0 unless the split is broken: of few units any share is far from the expected one.
    """
    if not split_broken(reading):
        return 0.0
    expected = reading.units[1] - reading.excess
    return min(abs(reading.excess) / expected, 1.0) if expected > 0 else 0.0


def evidence_words(e_value: float) -> str:
    """An e-value or its limit: 12.6, 2,490, over 1,000,000."""
    if e_value > _MOST_TOLD:
        return f"over {_MOST_TOLD:,}"
    return f"{e_value:,.0f}" if e_value >= 100 else f"{e_value:.3g}"


def split_words(reading: GuardrailReading) -> str:
    """One sentence for people: units, what the shares led to expect, and the evidence."""
    return (
        f"{SAMPLE_RATIO}: {reading.units[1]:,} units reached the candidate, where its shares let one "
        f"expect about {reading.units[1] - reading.excess:,.0f} (evidence {evidence_words(reading.e_value)}, "
        f"limit {evidence_words(reading.limit)})."
    )


def effect(spec: GuardrailSpec, reading: GuardrailReading) -> float:
    """The observed relative harm, in [0, 1]: 0.4 is 40 % more events (or fewer), 1 is 100 % or more."""
    seen = reading.events[1] if reading.amounts is None else reading.amounts[1]
    expected = seen - reading.excess if spec.harm is Harm.MORE else seen + reading.excess
    excess = abs(reading.excess) if spec.event is UnitEvent.PREDICTION_DRIFT else reading.excess
    if expected <= 0:
        return float(excess > 0)
    return min(max(excess / expected, 0.0), 1.0)


def words(spec: GuardrailSpec, reading: GuardrailReading) -> str:
    """One sentence for people: events, units, excess, cost and evidence.

    Once harm was established, all of them are as they were then, and the evidence of now is said too.
    """
    now = ""
    if reading.crossing is not None:
        if reading.crossing.e_value != reading.e_value:
            now = f", {evidence_words(reading.e_value)} now"
        reading = reading.crossing
    more = "more" if (reading.excess >= 0) == (spec.harm is Harm.MORE) else "fewer"
    told = (
        f"the candidate had {reading.events[1]:,} among {reading.units[1]:,} units, control "
        f"{reading.events[0]:,} among {reading.units[0]:,}; about {abs(reading.excess):,.0f} {more}"
    )
    if reading.amounts is not None:
        more = "more" if more == "more" else "less"
        means = [
            spec.low + a / max(n, 1) for a, n in zip(reading.amounts, reading.events, strict=True)
        ]
        told = (
            f"the candidate's {reading.events[1]:,} outcomes average {means[1]:,.4g}, control's "
            f"{reading.events[0]:,} {means[0]:,.4g}; about {abs(reading.excess):,.4g} {more}"
        )
    cost = ""
    if reading.cost is not None:
        cost = f", an estimated cost of {reading.cost:,.0f} {reading.currency}".rstrip()
    return (
        f"{spec.name}: {told} than its share explains{cost} (evidence {evidence_words(reading.e_value)}, "
        f"limit {evidence_words(reading.limit)}{now})."
    )
