"""Arrow's streams: what they hold, and that none of them costs more than its bytes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import InvalidRequest
from trimtab.serve.arrow import arrow_reply, arrow_request, record_batches
from trimtab.types import PredictAnswer, Prediction, PredictRequest


def stream(*tables: Any, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, tables[0].schema, options=options) as writer:
        for table in tables:
            writer.write(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def request(body: bytes, max_rows: int = 10) -> PredictRequest:
    return arrow_request(record_batches(body, max_rows), max_rows)


TABLE = pa.table(
    {
        "amount": pa.array([20.0, None, float("nan")], pa.float32()),
        "half": pa.array(np.array([1, 2, 3], np.float16)),
        "visits": pa.array([3, 4, 5], pa.uint8()),
        "country": pa.array(["nl", "fr", None]).dictionary_encode(),
        "away": pa.array([True, False, None]),
        "gone": pa.nulls(3),
    }
)


def test_columns_become_rows() -> None:
    asked = request(stream(TABLE, TABLE.slice(1, 1)))
    first, second, third, fourth = (row.features for row in asked.rows)
    assert {
        "amount": 20.0,
        "half": 1.0,
        "visits": 3,
        "country": "nl",
        "away": True,
        "gone": None,
    } == first
    assert (None, "fr") == (second["amount"], second["country"])
    assert "nan" == str(third["amount"])
    assert second == fourth


def test_what_comes_with_a_row() -> None:
    noon = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
    table = pa.table(
        {
            "x": [1.0],
            "trimtab.key": ["ann"],
            "trimtab.prediction_id": ["p-1"],
            "trimtab.event_time": pa.array([noon], pa.timestamp("ns", "UTC")),
        }
    )
    (row,) = request(stream(table)).rows
    assert ("ann", "p-1", noon.timestamp()) == (row.key, row.prediction_id, row.event_time)
    assert {"x": 1.0} == row.features


def one(name: str, values: Any) -> bytes:
    return stream(pa.table({name: values}))


# Arrow has views since version 16.
VIEWS = (
    [(one("x", pa.array(["long text here"], pa.string_view())), "invalid_column")]
    if hasattr(pa, "string_view")
    else []
)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_arrow"),
        (b"nothing of the kind", "malformed_arrow"),
        (stream(TABLE)[:-40], "malformed_arrow"),
        (stream(TABLE)[:100], "malformed_arrow"),
        (stream(TABLE, compression="zstd"), "unsupported_media_type"),
        (stream(TABLE, compression="lz4"), "unsupported_media_type"),
        (stream(TABLE.slice(0, 0)), "invalid_request"),
        (one("x", pa.nulls(11)), "too_many_rows"),
        (one("x", [[1.0]]), "invalid_column"),
        (one("x", [{"a": 1}]), "invalid_column"),
        (one("x", [b"bytes"]), "invalid_column"),
        *VIEWS,
        (one("x", pa.array([dt.date(2026, 1, 1)])), "invalid_column"),
        (one("trimtab.event_time", pa.array([0], pa.timestamp("s"))), "invalid_column"),
        (one("trimtab.key", [""]), "invalid_shape"),
        (one("trimtab.key", [3]), "invalid_shape"),
        (
            stream(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])),
            "duplicate_name",
        ),
    ],
)
def test_refusals(body: bytes, code: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        request(body)
    assert code == told.value.code


def test_a_dictionarys_values_are_shared_between_rows() -> None:
    long = pa.DictionaryArray.from_arrays(
        pa.array([0] * 1_000, pa.int8()), pa.array(["x" * 100_000])
    )
    rows = request(one("x", long), 1_000).rows
    assert 1 == len({id(row.features["x"]) for row in rows})


@given(at=st.integers(0, 10_000), to=st.integers(0, 255))
def test_a_byte_that_was_changed_is_refused_or_changes_a_value(at: int, to: int) -> None:
    body = bytearray(stream(TABLE))
    body[at % len(body)] = to
    try:
        rows = request(bytes(body)).rows
    except InvalidRequest as refused:
        assert refused.code  # noqa: PT017 - either is right
    else:
        assert len(rows) <= 10


def test_an_answer_in_columns() -> None:
    made = [
        Prediction(
            prediction_id=f"p-{at}", version=2, arm="champion", score=0.1 * at,
            outputs=(0.1, 0.9), decision=decision, sources="q",
        )
        for at, decision in enumerate(("good", "bad"))
    ]  # fmt: skip
    answer = PredictAnswer(model="m", epoch=7, predictions=tuple(made))
    table = pa.ipc.open_stream(arrow_reply([answer])).read_all()
    assert {b"model": b"m", b"epoch": b"7"} == table.schema.metadata
    rows = table.to_pylist()
    assert [("p-0", 2, "good"), ("p-1", 2, "bad")] == [
        (row["prediction_id"], row["version"], row["decision"]) for row in rows
    ]
    assert [[0.1, 0.9]] * 2 == [row["outputs"] for row in rows]
