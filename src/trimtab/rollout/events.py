"""What counts as a guardrail's event, and how much of one."""

from __future__ import annotations

from msgspec.structs import replace

from trimtab.rollout import eprocess
from trimtab.rollout.eprocess import EProcess
from trimtab.types import GuardrailSpec, Matured, PredictionRecord, Provenance, UnitEvent

_FALLBACKS = frozenset({Provenance.BATCH.code, Provenance.DEFAULT.code})


def bets(spec: GuardrailSpec, certificate_margin: float) -> tuple[EProcess, EProcess]:
    """The bets that the candidate does harm, and that it does none beyond the certificate's margin."""
    certificate = eprocess.certificate(spec.harm, certificate_margin)
    if spec.event is UnitEvent.PREDICTION_DRIFT:
        return eprocess.either(spec.margin), certificate
    return eprocess.harm(spec.harm, spec.margin), certificate


def span(spec: GuardrailSpec) -> float:
    """What a whole amount is in the outcome's unit."""
    return 1.0 if spec.high is None else spec.high - spec.low


def amount(spec: GuardrailSpec, matured: Matured) -> float:
    """How much of an event an outcome is, in [0, 1]."""
    if spec.event is not UnitEvent.OUTCOME_VALUE:
        return 1.0
    return min(max((matured.value - spec.low) / span(spec), 0.0), 1.0)


def shown(spec: GuardrailSpec, record: PredictionRecord) -> bool:
    """Whether the answer itself was the event."""
    if spec.event is UnitEvent.ERROR:
        return record.failed is not None
    if spec.event is UnitEvent.FALLBACK:
        return not _FALLBACKS.isdisjoint(record.sources)
    if spec.event is UnitEvent.PREDICTION_DRIFT:
        # A failed row has the champion's score: it says nothing about the candidate's.
        above = spec.score_above
        return record.failed is None and above is not None and record.score > above
    return spec.slow_ms is not None and record.latency_ms > spec.slow_ms


def differs(spec: GuardrailSpec, record: PredictionRecord) -> bool | None:
    """Whether of a shadow and the champion the shadow alone had the event; None if both or none had.

    What both had says nothing about which is worse. A shadow that failed has no score and no time; its
    error is held against a champion without one, since champions that fail are not journalled.
    """
    if record.failed is not None:
        return True if spec.event is UnitEvent.ERROR else None
    if record.answered is None:
        return None
    score, latency_ms = record.answered
    ours, theirs = (
        shown(spec, record),
        shown(spec, replace(record, score=score, latency_ms=latency_ms)),
    )
    return None if ours == theirs else ours


def known(spec: GuardrailSpec, matured: Matured) -> bool:
    """Whether the outcome makes the event."""
    if spec.event is UnitEvent.OUTCOME_VALUE:
        return True
    positive, decided = matured.value > 0, matured.facts.positive
    if spec.event is UnitEvent.POSITIVE_OUTCOME:
        return positive
    if decided is None:
        return False
    if spec.event is UnitEvent.WRONG_DECISION:
        return positive != decided
    if spec.event is UnitEvent.MISSED_POSITIVE:
        return positive and not decided
    return decided and not positive
