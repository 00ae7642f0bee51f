"""Infer requests that are read in one go are read, answered and recorded as all of them are."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import replace
from typing import Any, cast

import numpy as np
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
from trimtab.serve.v2.plain import PlainTensors, TensorsForm
from trimtab.serve.v2.reply import check_outputs, tensors_reply, told_of
from trimtab.serve.v2.request import Asked, infer_request
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import FeatureKind, FeatureSpec, PredictAnswer, Signature, Task

NAMES = st.sampled_from(["in", "x", "trimtab.key", "a:b", "", "in\\u003a", "ключ"])
DATA = st.one_of(
    st.floats(-1e9, 1e9).map(repr), st.integers(-9, 9).map(str), st.sampled_from(NUMBERS)
)
MORE = st.sampled_from(
    ["", "", "", ', "id": "r:1"', ', "id": null', ', "id": ""', ', "id": "a", "id": "b"', ', "x": 1',
     ', "parameters": {"key": "u"}', ', "parameters": {}', ', "outputs": [{"name": "score"}]', ", ",
     ', "outputs": [{"name": "nothing"}]', ', "outputs": []', ', "outputs": null',
     ', "outputs": [{"name": "score", "parameters": {"binary_data": true}}, {"name": "decision"}]',
     ', "outputs": [{"name": "score", "parameters": {"binary_data": false, "binary_data": true}}]',
     ', "parameters": {"binary_data_output": true}', ', "parameters": {"key": "u:1", "key": "u"}',
     ', "parameters": {"key": "u:1", "binary_data_output": false}, "id": "a"',
     ', "parameters": {"event_time": 1}', ', "parameters": {"other": 1}', ', "parameters": null']
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


def usual(body: bytes, header_length: int | None = None) -> tuple[Any, ...] | None:
    """What flow 1 makes of a body, by its checks value by value; None where it refuses it."""
    try:
        asked = infer_request(body, header_length, PAIR, None, 10)
        check_outputs(asked, PAIR)
        (row,) = asked.request.rows
        values, _ = Checker(PAIR).check(row, "rows[0]")
    except (TrimtabError, ValueError):
        return None
    more = row.event_time, row.prediction_id, asked.request.deadline_ms
    return tuple(values), row.key, asked.request.request_id, asked.outputs, asked.binary, more


def read(body: bytes, header_length: int | None = None) -> tuple[Any, ...] | None:
    """The same as it is read in one go; None where that finds something unusual."""
    row = PlainTensors(PAIR)(body, 0.0, header_length)
    if row is None:
        return None
    wanted = cast("Asked", row.wanted)
    return row.values, row.key, row.request_id, wanted.outputs, wanted.binary, (None, None, None)


@settings(deadline=None, max_examples=600)
@given(bodies())
def test_a_plain_tensor_is_read_as_all_are(body: bytes) -> None:
    found = read(body)
    if found is not None:
        assert repr(found) == repr(usual(body))


@settings(deadline=None, max_examples=600)
@given(
    st.lists(st.one_of(st.floats(width=32), st.floats()), min_size=1, max_size=3),
    st.sampled_from("df"),
    st.sampled_from([0, 0, 0, 8, -8, -1]),
    MORE,
)
def test_plain_tensors_of_bytes_are_read_as_all_are(
    row: list[float], kind: str, more: int, beside: str
) -> None:
    if kind == "f":
        row = [float(np.float32(x)) if abs(x) < 3e38 else 1.0 for x in row]
    raw = struct.pack(f"<{len(row)}{kind}", *row)
    datatype, size = {"d": "FP64", "f": "FP32"}[kind], len(raw) + more
    text = (
        f'{{"inputs": [{{"name": "in", "shape": [1, {len(row)}], "datatype": "{datatype}", '
        f'"parameters": {{"binary_data_size": {size}}}}}]{beside}}}'
    ).encode()
    found = read(text + raw, len(text))
    if found is not None:
        assert repr(found) == repr(usual(text + raw, len(text)))
    elif len(row) == 2 and more == 0 and beside == "":
        assert not all(abs(x) < 2**53 for x in row)


@settings(deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2), st.sampled_from([None, "r1", "r:2"]))
def test_usual_tensors_are_plain(row: list[float], name: str | None) -> None:
    sent: dict[str, Any] = {
        "inputs": [{"name": "in", "shape": [1, 2], "datatype": "FP64", "data": row}]
    }
    if name is not None:
        sent["id"] = name
    assert read(json.dumps(sent).encode()) == (tuple(row), None, name, None, False, (None,) * 3)


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


TENSOR = b'{"name": "in", "shape": [1, 2], "datatype": "FP64", %b}'
PACKED = b'{"inputs": [%b]%b}' % (
    TENSOR % b'"parameters": {"binary_data_size": 16}',
    b', "id": "r1", "parameters": {"binary_data_output": true, "key": "u"}',
)


@pytest.mark.parametrize("header_length", [None, len(PACKED)])
def test_tensors_together_are_answered_and_recorded_as_each_alone(
    header_length: int | None,
) -> None:
    xs = (0.25, 0.5, 0.75)
    bodies = [PACKED + struct.pack("<2d", x, 1) for x in xs]
    if header_length is None:
        beside = (
            b"",
            b', "id": "r1"',
            b', "outputs": [{"name": "score"}, {"name": "version", "parameters": {"binary_data": true}}]',
        )
        bodies = [
            b'{"inputs": [%b]%b}' % (TENSOR % (b'"data": [%f, 1]' % x), more)
            for x, more in zip(xs, beside, strict=True)
        ]
    (together, journal), (alone, expected) = flow(board := Board("champion_only", 0)), flow(board)
    clock, metrics = FakeClock(), Metrics()
    turnstile = Turnstile(ServeConfig(), clock.monotonic, metrics, lambda _: None)
    meters = Meters(metrics, {"m"}.__contains__)
    form = TensorsForm() if header_length is None else TensorsForm().followed(header_length)
    plain = PlainPredictions(form, together, board.live, clock, meters, turnstile)
    found = asyncio.run(plain.answer("m", [(body, 0.0) for body in bodies]))
    told = []
    for body in bodies:
        asked = infer_request(body, header_length, PAIR, None, 10)
        answer: PredictAnswer = asyncio.run(alone.predict("m", asked.request))
        told.append(tensors_reply(told_of(answer, asked, PAIR)))
    assert found == told
    assert journal.records == expected.records
    ids = [None, "r1", None] if header_length is None else ["r1"] * 3
    assert ids == [record.request_id for record in journal.records]
