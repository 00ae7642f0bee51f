"""Law 3: whatever a candidate does, the champion answers and the failure counts against it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import ModelFailure, NotFound
from trimtab.models.isolate import Isolation
from trimtab.predict import PredictFlow
from trimtab.protocols import LiveArm, LiveModel, Predictor
from trimtab.rollout.router import Router
from trimtab.rollout.split import unit_hash
from trimtab.schema import Checker
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, MemoryJournal
from trimtab.types import (
    Arm,
    Columns,
    FeatureKind,
    FeatureSpec,
    FloatArray,
    PredictRequest,
    Resolved,
    Route,
    RowRequest,
    Scalar,
    Signature,
    Task,
)

SIGNATURE = Signature(
    features=(FeatureSpec(name="x", kind=FeatureKind.NUMERIC),),
    task=Task.BINARY,
    labels=("no", "yes"),
)
SLOTS = bytes(1 if i < 5000 else 0 for i in range(10_000))


class Constant:
    """Always the same probability."""

    def __init__(self, p: float) -> None:
        self.p = p

    def predict(self, columns: Columns) -> FloatArray:
        return np.tile([1 - self.p, self.p], (columns.rows, 1))


class Failing:
    """Raises what the registry's guard would."""

    def predict(self, columns: Columns) -> FloatArray:  # noqa: ARG002 - the Protocol's
        raise ModelFailure("boom", code="raised")


class Hanging:
    """Never answers until released."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def predict(self, columns: Columns) -> FloatArray:
        self.release.wait()
        return np.tile([0.5, 0.5], (columns.rows, 1))


class AsSent:
    """Features come with the request."""

    async def resolve(self, rows: Sequence[Sequence[Scalar]], *_: object) -> Sequence[Resolved]:
        return [Resolved(values=tuple(r), sources="q", ages_seconds=(None,)) for r in rows]


class Board:
    """One live model."""

    def __init__(self, live: LiveModel) -> None:
        self._live = live

    def live(self, model: str) -> LiveModel:
        if model != self._live.route.model:
            raise NotFound("unknown", code="unknown_model")
        return self._live


def arm(version: int, predictor: Predictor) -> LiveArm:
    return LiveArm(
        version=version,
        digest=f"sha256:{version}",
        signature=SIGNATURE,
        predictor=predictor,
        checker=Checker(SIGNATURE),
        pick=(0,),
    )


def flow_with(candidate: LiveArm | None) -> tuple[PredictFlow, MemoryJournal]:
    champion = arm(1, Constant(0.25))
    route = Route(
        model="m",
        epoch=7,
        arms=(
            Arm(name="champion", version=1, share=0.5),
            Arm(name="candidate", version=2, share=0.5),
        ),
        slots=SLOTS,
        salt="s",
        rollout="r1",
        strategy="canary",
    )
    live = LiveModel(
        route=route,
        arms=(champion, candidate),
        champion=champion,
        resolver=AsSent(),
        deadline_ms=20.0,
        feature_deadline_ms=10.0,
    )
    journal = MemoryJournal()
    ids = iter(range(10**9))
    flow = PredictFlow(
        board=Board(live),
        assign=Router().assign,
        unit=unit_hash,
        isolate=Isolation(limit=2).run,
        journal=journal,
        new_id=lambda: f"p{next(ids)}",
        clock=FakeClock(),
        metrics=Metrics(),
        max_future_seconds=300.0,
    )
    return flow, journal


def asking(keys: Sequence[str]) -> PredictRequest:
    return PredictRequest(rows=tuple(RowRequest(features={"x": 1.0}, key=key) for key in keys))


keys = st.lists(st.text(min_size=1, max_size=20).filter(str.isprintable), min_size=1, max_size=30)


@pytest.mark.anyio
@pytest.mark.parametrize("broken", ["raises", "missing"])
async def test_broken_candidate_is_replaced_row_by_row(broken: str) -> None:
    flow, journal = flow_with(arm(2, Failing()) if broken == "raises" else None)
    answer = await flow.predict("m", asking([f"user{i}" for i in range(200)]))

    assert [0.25] * 200 == [p.score for p in answer.predictions]
    failed = [r for r in journal.records if r.failed]
    assert 60 < len(failed) < 140
    expected = {"raises": "raised", "missing": "not_loaded"}[broken]
    assert {(expected, 1, 1)} == {(r.failed, r.arm, r.version) for r in failed}


@pytest.mark.anyio
async def test_rows_of_one_request_are_journalled_in_their_order_whoever_answers_them() -> None:
    """Evidence is counted in the journal's order: grouped by arm, one arm would seem to come first."""
    flow, journal = flow_with(arm(2, Constant(0.75)))
    answer = await flow.predict("m", asking([f"user{i}" for i in range(200)]))

    answered = [p.prediction_id for p in answer.predictions]
    assert [f"p{i}" for i in range(200)] == answered
    assert answered == [record.prediction_id for record in journal.records]
    arms = [record.arm for record in journal.records]
    assert [0.75 if each else 0.25 for each in arms] == [p.score for p in answer.predictions]
    assert sum(one != other for one, other in pairwise(arms)) > 60  # arms take turns


@pytest.mark.anyio
async def test_hanging_candidate_is_left_behind() -> None:
    hanging = Hanging()
    flow, journal = flow_with(arm(2, hanging))
    try:
        for _ in range(4):
            answer = await flow.predict("m", asking([f"user{i}" for i in range(50)]))
            assert {0.25} == {p.score for p in answer.predictions}
        codes = [r.failed for r in journal.records if r.failed]
        assert {"timeout", "saturated"} == set(codes)
    finally:
        hanging.release.set()


@given(keys)
def test_same_key_gets_the_same_arm_and_every_answer_is_recorded(keys: list[str]) -> None:
    flow, journal = flow_with(None)
    route_of: dict[str, str] = {}
    for _ in range(2):
        for key in keys:
            coroutine = flow.predict("m", asking([key]))
            with pytest.raises(StopIteration) as done:
                coroutine.send(None)
            prediction = done.value.value.predictions[0]
            assert route_of.setdefault(key, prediction.arm) == prediction.arm
    assert 2 * len(keys) == len(journal.records)
    assert {7} == {record.epoch for record in journal.records}
