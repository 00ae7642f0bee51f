"""One guardrail so far: what has happened in each arm, what it is evidence of, and when it crossed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trimtab.rollout import events
from trimtab.rollout.eprocess import Evidence
from trimtab.types import GuardrailReading, GuardrailSpec, Harm, UnitEvent

Event = tuple[bool, float, float]
"""Whether the candidate's, the candidate's share at the answer, and how much of an event it is."""


class Tally(msgspec.Struct):
    """Events of each arm, and their amounts, which are as many where each event is whole.

    ``expected`` is what control's amounts lead one to expect of the candidate. ``crossing`` is the reading
    when harm was established.
    """

    harm: Evidence
    certificate: Evidence
    control: int = 0
    candidate: int = 0
    amounts: tuple[float, float] = (0.0, 0.0)
    expected: float = 0.0
    crossing: GuardrailReading | None = None


class Tallier:
    """Counts a guardrail's events, each once and in order.

    Args:
        spec: The guardrail.
        limit: The e-value at which harm is established, once there are ``min_events``.
        certificate_margin: The relative harm that promotion has to rule out.
    """

    def __init__(self, spec: GuardrailSpec, limit: float, certificate_margin: float) -> None:
        self._spec = spec
        self._limit = limit
        self._harm, self._certificate = events.bets(spec, certificate_margin)

    def start(self) -> Tally:
        """Before any event."""
        return Tally(self._harm.start(), self._certificate.start())

    def count(self, tally: Tally, found: Sequence[Event], units: tuple[int, int]) -> None:
        """Add events to a tally; ``units`` are those answered so far, of control and the candidate."""
        reached = self._reaches(tally, found)
        if reached is not None:
            self._add(tally, found[:reached])
            tally.crossing = self.reading(tally, units)
            found = found[reached:]
        self._add(tally, found)

    def reading(self, tally: Tally, units: tuple[int, int]) -> GuardrailReading:
        """What the tally says."""
        spec, unit = self._spec, events.span(self._spec)
        more = (tally.amounts[1] - tally.expected) * unit
        excess = more if spec.harm is Harm.MORE else -more
        control, candidate = tally.amounts
        valued = spec.event is UnitEvent.OUTCOME_VALUE
        either = spec.event is UnitEvent.PREDICTION_DRIFT
        return GuardrailReading(
            guardrail=spec.name,
            units=units,
            events=(tally.control, tally.candidate),
            e_value=tally.harm.e_value,
            e_peak=tally.harm.e_peak,
            certificate=1.0 if either else tally.certificate.e_peak,
            limit=self._limit,
            excess=excess,
            cost=None if spec.cost_per_event is None else excess * spec.cost_per_event,
            currency=spec.currency,
            amounts=(control * unit, candidate * unit) if valued else None,
            crossing=tally.crossing,
        )

    def _reaches(self, tally: Tally, found: Sequence[Event]) -> int | None:
        """With how many of these events harm is established, if it was not before."""
        if tally.crossing is not None:
            return None
        early = max(self._spec.min_events - 1 - tally.control - tally.candidate, 0)
        evidence = self._harm.update(tally.harm, *self._told(found[:early]))
        reached = self._harm.reaches(self._limit, evidence, *self._told(found[early:]))
        return None if reached is None else early + reached

    def _add(self, tally: Tally, found: Sequence[Event]) -> None:
        told = self._told(found)
        tally.harm = self._harm.update(tally.harm, *told)
        tally.certificate = self._certificate.update(tally.certificate, *told)
        for is_candidate, share, amount in found:
            control, candidate = tally.amounts
            if is_candidate:
                tally.candidate += 1
                tally.amounts = (control, candidate + amount)
            else:
                tally.control += 1
                tally.amounts = (control + amount, candidate)
                tally.expected += amount * share / (1 - share) if share < 1 else 0.0

    def _told(self, found: Sequence[Event]) -> tuple[list[tuple[bool, float]], list[float] | None]:
        """Events as an e-process takes them."""
        told = [(is_candidate, share) for is_candidate, share, _ in found]
        if self._spec.event is not UnitEvent.OUTCOME_VALUE:
            return told, None
        return told, [amount for _, _, amount in found]
