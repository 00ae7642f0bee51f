"""Made-up predictions and outcomes, for the tests of performance."""

from __future__ import annotations

from typing import cast

from trimtab.protocols import StateTx
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    Matured,
    PredictionRecord,
    Signature,
    Task,
    Version,
)
from trimtab.watch import plain_facts

DAY = 86_400.0


class Blobs:
    """The state's blobs alone, which is all that performance windows touch."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.watch = self

    def blob(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def save_blob(self, key: str, blob: bytes) -> None:
        self.kept[key] = blob


def new_state() -> StateTx:
    return cast("StateTx", Blobs())


FEATURES = (FeatureSpec(name="distance", kind=FeatureKind.NUMERIC),)


def version(task: Task = Task.BINARY, number: int = 1) -> Version:
    labels = {Task.BINARY: ("on_time", "late"), Task.MULTICLASS: ("a", "b", "c")}.get(task, ())
    return Version(
        model="flights_late",
        version=number,
        digest="sha256:0",
        format="none",
        size_bytes=0,
        signature=Signature(features=FEATURES, task=task, labels=labels),
        created_at=0.0,
    )


def prediction(
    prediction_id: str, event_time: float, score: float = 0.5, number: int = 1
) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=prediction_id,
        request_id=None,
        event_time=event_time,
        wall_time=event_time,
        model="flights_late",
        version=number,
        digest="sha256:0",
        epoch=1,
        rollout=None,
        arm=0,
        share=0.0,
        unit="u",
        sticky=False,
        values=(1.0,),
        sources="q",
        ages_seconds=(None,),
        score=float(score),
        outputs=(1.0 - float(score), float(score)),
        positive=bool(score >= 0.5),
        latency_ms=1.0,
    )


def matured(made: PredictionRecord, value: float, previous: float | None = None) -> Matured:
    return Matured(facts=plain_facts(made), value=float(value), outcome_time=0.0, previous=previous)
