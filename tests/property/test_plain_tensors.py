"""Infer requests that are read in one go are read, answered and recorded as all of them are."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_plain_rows import NUMBERS, PAIR, Board, flow

from trimtab.config import ServeConfig
from trimtab.errors import TrimtabError
from trimtab.schema import Checker
from trimtab.serve.meters import Meters
from trimtab.serve.overload import Turnstile
from trimtab.serve.plain import PlainPredictions
from trimtab.serve.reply import Reply
from trimtab.serve.v2.plain import PlainTensors, TensorsForm
from trimtab.serve.v2.reply import check_outputs, infer_reply, told_of
from trimtab.serve.v2.request import infer_request
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import FeatureKind, FeatureSpec, PredictAnswer, Signature, Task

NAMES = st.sampled_from(["in", "x", "trimtab.key", "a:b", "", "in\\u003a", "ключ"])
DATA = st.one_of(
    st.floats(-1e9, 1e9).map(repr), st.integers(-9, 9).map(str), st.sampled_from(NUMBERS)
)
MORE = st.sampled_from(
    ["", "", "", ', "id": "r:1"', ', "id": null', ', "id": ""', ', "id": "a", "id": "b"', ', "x": 1',
     ', "parameters": {"key": "u"}', ', "parameters": {}', ', "outputs": [{"name": "score"}]', ", "]
)  # fmt: skip
WITHIN = st.sampled_from(
    ["", "", "", ', "parameters": {}', ', "parameters": {"binary_data_size": 8}', ', "name": "in"']
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Mostly one tensor of one row of two numbers."""
    odd = draw(st.integers(0, 2)) == 0
    data = [draw(DATA) for _ in range(draw(st.integers(0, 4)) if odd else 2)]
    if odd and data and draw(st.booleans()):
        data[0] = draw(st.sampled_from(["null", "true", '"1"', "[1, 2]", "NaN", "1e400"]))
    shape = (
        draw(st.sampled_from(["[1, 2]", "[2, 1]", "[1]", "[2]", "[1, 2, 1]", "[1, 2.0]"]))
        if odd
        else "[1, 2]"
    )
    kind = draw(st.sampled_from(["FP64", "FP32", "INT64", "FP16", "BOOL"])) if odd else "FP64"
    name = draw(NAMES) if odd else "in"
    tensor = (
        f'{{"name": "{name}", "shape": {shape}, "datatype": "{kind}", "data": [{", ".join(data)}]'
        + (draw(WITHIN) if odd else "") + "}"
    )  # fmt: skip
    tensors = [tensor] * (draw(st.integers(0, 2)) if odd else 1)
    return f'{{"inputs": [{", ".join(tensors)}]{draw(MORE)}}}'.encode()


def usual(body: bytes) -> tuple[Any, ...] | None:
    """What flow 1 makes of a body, by its checks value by value; None where it refuses it, or it asks for more."""
    try:
        asked = infer_request(body, None, PAIR, None, 10)
        check_outputs(asked, PAIR)
        (row,) = asked.request.rows
        values, _ = Checker(PAIR).check(row, "rows[0]")
    except (TrimtabError, ValueError):
        return None
    more = (
        row.event_time,
        row.prediction_id,
        asked.outputs,
        asked.request.deadline_ms,
        asked.binary,
    )
    return tuple(values), row.key, asked.request.request_id, more


@settings(deadline=None, max_examples=600)
@given(bodies())
def test_a_plain_tensor_is_read_as_all_are(body: bytes) -> None:
    found = PlainTensors(PAIR)(body)
    if found is not None:
        assert repr((*found, (None, None, None, None, False))) == repr(usual(body))


@settings(deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2), st.sampled_from([None, "r1", "r:2"]))
def test_usual_tensors_are_plain(row: list[float], name: str | None) -> None:
    sent: dict[str, Any] = {
        "inputs": [{"name": "in", "shape": [1, 2], "datatype": "FP64", "data": row}]
    }
    if name is not None:
        sent["id"] = name
    assert PlainTensors(PAIR)(json.dumps(sent).encode()) == (tuple(row), None, name)


@pytest.mark.parametrize(
    "kind", [FeatureKind.INTEGER, FeatureKind.BOOLEAN, FeatureKind.CATEGORICAL]
)
def test_only_of_numbers_alone_tensors_are_plain(kind: FeatureKind) -> None:
    board = Board("champion_only", 0)
    assert TensorsForm().reader(board.model) is not None
    specs = (*PAIR.features, FeatureSpec(name="z", kind=kind))
    other = Signature(features=specs, task=Task.BINARY, labels=PAIR.labels)
    champion = replace(board.model.champion, signature=other)
    assert TensorsForm().reader(replace(board.model, champion=champion)) is None


def test_tensors_together_are_answered_and_recorded_as_each_alone() -> None:
    bodies = [
        b'{"inputs": [{"name": "in", "shape": [1, 2], "datatype": "FP64", "data": [%f, 1]}]%b}'
        % (x, b', "id": "r%d"' % at if at % 2 else b"")
        for at, x in enumerate((0.25, 0.5, 0.75))
    ]
    (together, journal), (alone, expected) = flow(board := Board("champion_only", 0)), flow(board)
    clock, metrics = FakeClock(), Metrics()
    turnstile = Turnstile(ServeConfig(), clock.monotonic, metrics, lambda _: None)
    meters = Meters(metrics, {"m"}.__contains__)
    plain = PlainPredictions(TensorsForm(), together, board.live, clock, meters, turnstile)
    found = asyncio.run(plain.answer("m", [(body, 0.0) for body in bodies]))
    told = []
    for body in bodies:
        asked = infer_request(body, None, PAIR, None, 10)
        answer: PredictAnswer = asyncio.run(alone.predict("m", asked.request))
        told.append(Reply(200, infer_reply(told_of(answer, asked, PAIR))[0]))
    assert found == told
    assert journal.records == expected.records
    assert [None, "r1", None] == [record.request_id for record in journal.records]
