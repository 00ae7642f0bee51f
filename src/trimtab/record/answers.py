"""From what an arm put out to what the caller gets and what the journal keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec

from trimtab.types import (
    PROCESS_EXIT,
    Assignment,
    FeatureOrigin,
    PredictAnswer,
    Prediction,
    PredictionRecord,
    Provenance,
    Resolved,
    Route,
    Signature,
    Task,
)

IN_ORDER = tuple(range(1_024))
"""What ``pick`` is when the version's order is the row's."""


BANDIT = "bandit"
"""The strategy under which nobody keeps an arm."""


class Asked(msgspec.Struct, frozen=True):
    """One row that was asked: its id, event time, unit hash, arm, and features."""

    id: str
    event_time: float
    unit: str
    assignment: Assignment
    resolved: Resolved
    request_id: str | None
    entities: dict[str, str]


class Answered(msgspec.Struct, frozen=True):
    """By whom and how rows were answered.

    ``arm`` is the index of the arm that was asked; ``failed`` says why the champion answered for it.
    ``pick`` maps the answering version's feature order to that of the row.
    """

    route: Route
    arm: int
    version: int
    digest: str
    signature: Signature
    pick: tuple[int, ...]
    wall_time: float
    latency_ms: float
    failed: str | None = None


def decide(signature: Signature, outputs: Sequence[float]) -> tuple[float, str | float]:
    """The score, and the label (or value) that it leads to."""
    if signature.task is Task.BINARY:
        score = outputs[1]
        return score, signature.labels[int(score >= signature.threshold)]
    if signature.task is Task.MULTICLASS:
        best = max(range(len(outputs)), key=outputs.__getitem__)
        return outputs[best], signature.labels[best]
    return outputs[0], outputs[0]


def prediction(
    asked: Asked, answered: Answered, outputs: Sequence[float], *, provenance: bool = False
) -> Prediction:
    """What the caller gets for one row; with ``provenance``, where each feature came from."""
    score, decision = decide(answered.signature, outputs)
    return Prediction(
        prediction_id=asked.id,
        version=answered.version,
        arm=answered.route.arms[answered.arm].name,
        score=score,
        outputs=tuple(outputs),
        decision=decision,
        sources=asked.resolved.sources,
        features=_origins(asked.resolved, answered) if provenance else None,
        sticky=answered.route.strategy != BANDIT,
    )


def _origins(resolved: Resolved, answered: Answered) -> dict[str, FeatureOrigin]:
    """By name, in the answering version's order."""
    return {
        spec.name: FeatureOrigin(
            source=Provenance.of(resolved.sources[at]),
            value=resolved.values[at],
            age_seconds=resolved.ages_seconds[at],
        )
        for spec, at in zip(answered.signature.features, answered.pick, strict=True)
    }


def unfinished(
    asked: Asked, route: Route, arm: int, signature: Signature, digest: str
) -> PredictionRecord:
    """What is left of a row whose candidate ends the process: its unit and share, and no answer."""
    width = len(signature.features)
    return PredictionRecord(
        prediction_id=asked.id,
        request_id=asked.request_id,
        event_time=asked.event_time,
        wall_time=asked.event_time,
        model=route.model,
        version=route.arms[arm].version,
        digest=digest,
        epoch=route.epoch,
        rollout=route.rollout if asked.assignment.drawn else None,
        arm=arm,
        share=1.0 - route.arms[0].share,
        unit=asked.unit,
        sticky=asked.assignment.sticky,
        values=(None,) * width,
        sources=Provenance.MISSING.code * width,
        ages_seconds=(None,) * width,
        score=math.nan,
        outputs=(),
        positive=None,
        latency_ms=0.0,
        failed=PROCESS_EXIT,
        shadow=True,
        shares=_shares(route),
    )


def _shares(route: Route) -> tuple[float, ...]:
    """All arms' shares where there are several candidates."""
    return tuple([arm.share for arm in route.arms]) if len(route.arms) > 2 else ()


def record(asked: Asked, answered: Answered, given: Prediction) -> PredictionRecord:
    """What the journal keeps of one row, in the answering version's feature order."""
    route, resolved, pick = answered.route, asked.resolved, answered.pick
    values, sources, ages = resolved.values, resolved.sources, resolved.ages_seconds
    if pick != IN_ORDER[: len(values)]:
        values = tuple([values[i] for i in pick])
        sources = "".join([sources[i] for i in pick])
        ages = tuple([ages[i] for i in pick])
    binary = answered.signature.task is Task.BINARY
    return PredictionRecord(
        prediction_id=asked.id,
        request_id=asked.request_id,
        event_time=asked.event_time,
        wall_time=answered.wall_time,
        model=route.model,
        version=answered.version,
        digest=answered.digest,
        epoch=route.epoch,
        rollout=route.rollout if asked.assignment.drawn else None,
        arm=answered.arm,
        share=1.0 - route.arms[0].share,
        unit=asked.unit,
        sticky=asked.assignment.sticky,
        values=values,
        sources=sources,
        ages_seconds=ages,
        score=given.score,
        outputs=given.outputs,
        positive=given.score >= answered.signature.threshold if binary else None,
        latency_ms=answered.latency_ms,
        failed=answered.failed,
        entities=asked.entities,
        shares=_shares(route),
    )


Make = Callable[
    [str, str | None, str, Assignment, Resolved, Sequence[float], float, float],
    tuple[PredictAnswer, PredictionRecord],
]
"""A row's id, its request's, its unit, assignment and features, its outputs, the wall time and the latency in milliseconds."""


def champions(route: Route, version: int, digest: str, signature: Signature) -> Make:
    """What makes the answers and records of rows that are the champion's, in whose order their features are.

    They are those of :func:`prediction` and :func:`record`, each row in an answer of its own; what all of them have
    in common is looked up here.
    """
    model, epoch, rollout, name = route.model, route.epoch, route.rollout, route.arms[0].name
    share, shares, stays = 1.0 - route.arms[0].share, _shares(route), route.strategy != BANDIT
    binary, threshold = signature.task is Task.BINARY, signature.threshold

    def make(
        row: str,
        request: str | None,
        unit: str,
        assignment: Assignment,
        resolved: Resolved,
        outputs: Sequence[float],
        now: float,
        latency_ms: float,
    ) -> tuple[PredictAnswer, PredictionRecord]:
        score, decision = decide(signature, outputs)
        told, sources = tuple(outputs), resolved.sources
        given = Prediction(
            prediction_id=row, version=version, arm=name, score=score, outputs=told,
            decision=decision, sources=sources, sticky=stays,
        )  # fmt: skip
        answer = PredictAnswer(model=model, epoch=epoch, predictions=(given,))
        return answer, PredictionRecord(
            row, request, now, now, model, version, digest, epoch,
            rollout if assignment.drawn else None, 0, share, unit, assignment.sticky,
            resolved.values, sources, resolved.ages_seconds, score, told,
            score >= threshold if binary else None, latency_ms, None, False, {}, shares,
        )  # fmt: skip

    return make
