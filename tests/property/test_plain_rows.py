"""What is plain about a request changes its cost, and nothing else: not its values, its answer, or its record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config import FeaturesConfig
from trimtab.errors import InvalidRow, ModelFailure, NotFound, TrimtabError
from trimtab.features.resolver import Resolver
from trimtab.features.views import FeaturePlan
from trimtab.models.isolate import Isolation
from trimtab.predict import PredictFlow
from trimtab.protocols import LiveArm, LiveModel
from trimtab.rollout.router import Router
from trimtab.rollout.split import unit_hash
from trimtab.schema import Checker
from trimtab.schema.plain import PlainBodies
from trimtab.serve.wire import predict_request
from trimtab.telemetry import STAGES, Metrics
from trimtab.testing import FakeClock, MemoryJournal
from trimtab.types import (
    Arm,
    Columns,
    FeatureKind,
    FeatureSpec,
    FloatArray,
    PlainRow,
    PredictAnswer,
    PredictRequest,
    Route,
    RowRequest,
    Scalar,
    Signature,
    Task,
)

KINDS = (FeatureKind.NUMERIC, FeatureKind.INTEGER, FeatureKind.BOOLEAN, FeatureKind.CATEGORICAL)
SPECS = tuple(
    FeatureSpec(name=f"{kind}{' may' if nullable else ''}", kind=kind, nullable=nullable)
    for kind in KINDS
    for nullable in (False, True)
)
SIGNATURE = Signature(features=SPECS, task=Task.REGRESSION)
NAMES = SIGNATURE.names
USUAL: dict[FeatureKind, st.SearchStrategy[Any]] = {
    FeatureKind.NUMERIC: st.floats(-1e9, 1e9),
    FeatureKind.INTEGER: st.integers(-9, 9),
    FeatureKind.BOOLEAN: st.booleans(),
    FeatureKind.CATEGORICAL: st.text(max_size=9),
}
NUMBERS = ("-0", "-0.0", "1e400", "9007199254740993", "9007199254740992", "-9007199254740991",
           "1e2", "5e-324", "12345678901234567890123", "0.1", "1E-7", "3.0", "007")  # fmt: skip
ODD = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(["null", "true", '"a:b"', '"\\u003a"', '"\\ud800"', "[1]", "{}", '""', "1 "]),
)
MORE = st.sampled_from(
    ["", ', "key": "u:1"', ', "key": null', ', "key": ""', ', "key": "a", "key": "b"', ', "x": 1',
     ', "event_time": 5.0', ', "provenance": true', ', "key": "\\u003a\\u003a"', ", ", ', "key": 7']
)  # fmt: skip


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Mostly plain rows, with a value, a name or what stands beside them out of the ordinary."""
    members = {
        spec.name: json.dumps(draw(USUAL[spec.kind]), ensure_ascii=draw(st.booleans()))
        for spec in SPECS
        if not (spec.nullable and draw(st.booleans()))
    }
    if draw(st.booleans()):
        members[draw(st.sampled_from([*NAMES, "unknown"]))] = draw(ODD)
    if draw(st.integers(0, 9)) == 0:
        members.pop(draw(st.sampled_from(NAMES)), None)
    told = [f'"{name}": {value}' for name, value in members.items()]
    if draw(st.integers(0, 9)) == 0:
        told.append(f'"{draw(st.sampled_from(NAMES))}": {draw(ODD)}')
    return (f'{{"features": {{{", ".join(told)}}}' + draw(MORE) + "}").encode(
        errors="surrogatepass"
    )


def usual(body: bytes) -> tuple[list[Any], str | None] | None:
    """What flow 1 makes of a body, by its checks value by value; None where it refuses it."""
    try:
        (row,) = predict_request(body, 10)[0].rows
        return Checker(SIGNATURE).check(row, "rows[0]")[0], row.key
    except TrimtabError:
        return None


@settings(deadline=None, max_examples=600)
@given(bodies())
def test_a_plain_body_is_read_as_all_bodies_are(body: bytes) -> None:
    found = PlainBodies(SPECS)(body, 1.0)
    if found is not None:
        expected = usual(body)
        assert expected is not None
        assert repr((list(found.values), found.key)) == repr(expected)


@settings(deadline=None)
@given(st.fixed_dictionaries({spec.name: USUAL[spec.kind] for spec in SPECS}), st.text(min_size=1))
def test_usual_bodies_are_plain(row: dict[str, Any], key: str) -> None:
    body = json.dumps({"features": row, "key": key}, ensure_ascii=False).encode(errors="replace")
    found = PlainBodies(SPECS)(body, 1.0)
    assert (found is None) == (b"\\" in body or not 0 < len(key) <= 512)


PAIR = Signature(
    features=tuple(
        FeatureSpec(name=name, kind=FeatureKind.NUMERIC, nullable=name == "y") for name in "xy"
    ),
    task=Task.BINARY,
    labels=("no", "yes"),
)
STRATEGIES = ("champion_only", "canary", "ab", "bandit", "shadow")


class Model:
    """Answers with the first value; raises where it is 9."""

    def predict(self, columns: Columns) -> FloatArray:
        if 9.0 in columns.arrays[0]:
            raise ModelFailure("nine", code="model_raised")
        return np.stack([1 - columns.arrays[0], columns.arrays[0]], axis=1)

    def many(self, rows: Sequence[Sequence[Scalar]]) -> Sequence[Sequence[float]]:
        found: list[list[float]] = self.predict(Checker(PAIR).columns(rows)).tolist()
        return found

    def one(self, row: Sequence[Scalar]) -> Sequence[float]:
        return self.many([row])[0]


class Board:
    """One live model."""

    def __init__(self, strategy: str, share: int) -> None:
        champion = self.arm(1)
        resolver = Resolver(
            FeaturePlan(views=()), PAIR, {}, Metrics(), FakeClock(), FeaturesConfig(), "m"
        )
        arms = (
            Arm(name="champion", version=1, share=1 - share / 10_000),
            Arm(name="candidate", version=2, share=share / 10_000),
        )
        self.model = LiveModel(
            route=Route(
                model="m", epoch=7, arms=arms, slots=bytes(int(i < share) for i in range(10_000)),
                salt="s", rollout="r1", strategy=strategy,
            ),
            arms=(champion, None),
            champion=champion,
            resolver=resolver,
            deadline_ms=20.0,
            feature_deadline_ms=10.0,
            whole=resolver.whole,
        )  # fmt: skip

    def arm(self, version: int) -> LiveArm:
        model, checker = Model(), Checker(PAIR)
        return LiveArm(
            version=version, digest="sha256:1", signature=PAIR, predictor=model, checker=checker,
            pick=(0, 1), one=model.one, many=model.many, read=checker.read,
        )  # fmt: skip

    def live(self, model: str) -> LiveModel:
        if model != "m":
            raise NotFound("unknown", code="unknown_model")
        return self.model


def flow(
    board: Board, clock: FakeClock | None = None, metrics: Metrics | None = None
) -> tuple[PredictFlow, MemoryJournal]:
    journal, ids = MemoryJournal(), iter(range(10**9))
    made = PredictFlow(
        board=board, assign=Router().assign, unit=unit_hash, isolate=Isolation(limit=2).run,
        journal=journal, new_id=lambda: f"p{next(ids)}", clock=clock or FakeClock(),
        metrics=metrics or Metrics(),
        max_future_seconds=300.0,
    )  # fmt: skip
    return made, journal


sent = st.lists(
    st.tuples(st.sampled_from([0.25, 0.5, 0.75, 0.1]), st.sampled_from([None, 3.0]),
              st.sampled_from([None, "u1", "u2", "ключ", "u:4"])),
    max_size=20,
)  # fmt: skip


@settings(deadline=None)
@given(sent, st.sampled_from(STRATEGIES), st.sampled_from([0, 3_000, 10_000]))
def test_rows_answered_together_are_answered_and_recorded_as_each_alone(
    rows: Sequence[tuple[float, float | None, str | None]], strategy: str, share: int
) -> None:
    together, journal = flow(board := Board(strategy, share))
    plain = [PlainRow(values=(x, y), key=key, began=FakeClock().monotonic()) for x, y, key in rows]
    found = asyncio.run(together.plain(board.model, plain, 0.0))
    alone, expected = flow(board)
    for at, ((x, y, key), answer) in enumerate(zip(rows, found, strict=True)):
        features = {"x": x, "y": y} if y is not None else {"x": x}
        row = RowRequest(features=features, key=key, prediction_id=f"p{at}")
        told = asyncio.run(alone.predict("m", PredictRequest(rows=(row,))))
        if isinstance(answer, PredictAnswer):
            assert answer == told
        else:
            assert (answer, expected.records.pop().failed) == (f"p{at}", "not_loaded")
    assert journal.records == expected.records


def test_where_the_model_fails_each_is_to_be_asked_alone_and_nothing_is_recorded() -> None:
    together, journal = flow(board := Board("champion_only", 0))
    rows = [PlainRow(values=(x, 1.0), key=None, began=0.0) for x in (0.5, 9.0, 0.25)]
    assert asyncio.run(together.plain(board.model, rows, 0.0)) == ["p0", "p1", "p2"]
    assert [] == journal.records


class Ticking(FakeClock):
    """A clock on which a second passes whenever it is asked."""

    def monotonic(self) -> float:
        self.advance(1.0)
        return super().monotonic()


@pytest.mark.parametrize("way", ["together", "alone", "several"])
def test_stages_are_timed_whichever_way_rows_go(way: str) -> None:
    metrics = Metrics()
    metrics.gather((later := list[Callable[[], None]]()).append)
    asked, _ = flow(board := Board("champion_only", 0), Ticking(), metrics)
    if way == "together":
        rows = [PlainRow(values=(x, 1.0), key=None, began=0.0) for x in (0.5, 0.25)]
        asyncio.run(asked.plain(board.model, rows, began=-8.0))
    else:
        row = RowRequest(features={"x": 0.5, "y": 1.0})
        request = PredictRequest(rows=(row,) if way == "alone" else (row, row, row))
        asyncio.run(asked.predict("m", request, began=-8.0))
    for call in later:
        call()
    requests, value = 2.0 if way == "together" else 1.0, metrics.registry.get_sample_value
    for stage in STAGES:
        labels = {"model": "m", "stage": stage}
        assert value("ml_request_stage_seconds_count", labels) == requests
        seconds = value("ml_request_stage_seconds_sum", labels)
        assert seconds is not None
        assert (seconds > 8 * requests) == (stage == "validate")
        assert seconds >= requests
    batches = value("ml_batch_rows_sum", {"model": "m"})
    assert batches == (requests if way == "together" else None)


def test_what_is_refused_has_no_stages() -> None:
    metrics = Metrics()
    asked, _ = flow(Board("champion_only", 0), metrics=metrics)
    with pytest.raises(InvalidRow):
        asyncio.run(asked.predict("m", PredictRequest(rows=(RowRequest(features={"y": 1.0}),))))
    assert metrics.registry.get_sample_value(
        "ml_request_stage_seconds_count", {"model": "m", "stage": "validate"}
    ) in {None, 0.0}
