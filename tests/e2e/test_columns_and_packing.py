"""Columns in, columns out, and packed bodies on every route that takes one."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pyarrow as pa
import pytest

COLUMNS: dict[str, list[Any]] = {
    "amount": [20.0, None, 900.0],
    "visits": [3, 4, 0],
    "country": ["nl", "fr", "de"],
}
ROWS = [{n: v[at] for n, v in COLUMNS.items()} for at in range(3)]
PATH = "/models/risk/predict"


def test_columns_have_the_answers_of_rows(server: Any) -> None:
    beside = {"keys": ["a", None, "c"], "prediction_ids": ["col-1", "col-2", "col-3"]}
    times = {"event_times": [1.7e9, "2023-11-14T22:13:20Z", None]}
    with server.client as client:
        rows = client.post(PATH, json={"rows": [{"features": row} for row in ROWS]}).json()
        reply = client.post(PATH, json={"columns": COLUMNS, **beside, **times})
        told = client.post("/models/risk/outcomes", json={"prediction_id": "col-2", "value": 1})
        full = client.post(PATH, json={"columns": COLUMNS, "provenance": True}).json()
    answer = reply.json()
    assert [row["score"] for row in rows["predictions"]] == answer["scores"]
    assert [row["outputs"] for row in rows["predictions"]] == answer["outputs"]
    assert [row["decision"] for row in rows["predictions"]] == answer["decisions"]
    assert ["qqq", "-qq", "qqq"] == answer["sources"]
    assert ([1, 1, 1], ["champion"] * 3) == (answer["versions"], answer["arms"])
    assert beside["prediction_ids"] == answer["prediction_ids"]
    assert ("risk", rows["epoch"]) == (answer["model"], answer["epoch"])
    assert "features" not in answer
    assert {"source": "request", "value": 900.0} == full["features"][2]["amount"]
    assert "recorded" == told.json()["outcomes"][0]["status"]


@pytest.mark.parametrize(
    ("body", "status", "code", "path"),
    [
        ({"columns": {**COLUMNS, "visits": [1]}}, 400, "invalid_request", "columns.visits"),
        ({"columns": COLUMNS, "keys": ["a"]}, 400, "invalid_request", "keys"),
        ({"columns": COLUMNS, "key": "a"}, 400, "invalid_request", "key"),
        ({"columns": COLUMNS, "keys": ["a", "", "c"]}, 400, "invalid_shape", "keys[1]"),
        ({"columns": COLUMNS, "rows": []}, 400, "invalid_request", None),
        ({"features": ROWS[0], "keys": ["a"]}, 400, "invalid_request", "keys"),
        ({"columns": {}}, 400, "invalid_request", "rows"),
        ({"columns": {"amount": []}}, 400, "invalid_request", "rows"),
        ({"columns": {name: v * 40 for name, v in COLUMNS.items()}}, 413, "too_many_rows", "columns"),
        ({"columns": {**COLUMNS, "visits": [1, "x", 2]}}, 422, "wrong_type", "rows[1].features.visits"),
        ({"columns": {**COLUMNS, "visits": [1, [2], 3]}}, 400, "invalid_shape", "columns.visits[1]"),
    ],
)  # fmt: skip
def test_columns_that_do_not_fit(
    server: Any, body: dict[str, Any], status: int, code: str, path: str | None
) -> None:
    with server.client as client:
        reply = client.post(PATH, json=body)
    error = reply.json()["error"]
    assert (status, code, path) == (reply.status_code, error["code"], error.get("path"))


TENSORS = [
    {"name": name, "datatype": kind, "shape": [3], "data": COLUMNS[name]}
    for name, kind in (("amount", "FP64"), ("visits", "INT64"), ("country", "BYTES"))
]
PACKED = [
    (PATH, {"features": ROWS[0]}),
    ("/v2/models/risk/infer", {"inputs": TENSORS}),
    ("/models/risk/invocations", {"instances": ROWS}),
    ("/v2/repository/index", {"ready": True}),
]


@pytest.mark.parametrize(("path", "body"), PACKED)
def test_packed_bodies_are_taken_on_every_route(server: Any, path: str, body: Any) -> None:
    text = json.dumps(body).encode()
    bomb = gzip.compress(b" " * 5_000_000)
    with server.client as client:
        plain = client.post(path, content=text)
        packed = [
            client.post(path, content=pack(text), headers={"content-encoding": encoding})
            for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress))
        ]
        burst = client.post(path, content=bomb, headers={"content-encoding": "gzip"})
        other = client.post(path, content=text, headers={"content-encoding": "br"})
    assert [200] * 3 == [reply.status_code for reply in (plain, *packed)]
    assert (413, 415) == (burst.status_code, other.status_code)
    assert "body_too_large" in burst.text
    assert "unsupported_media_type" in other.text


@pytest.mark.parametrize("packed", [False, True])
def test_arrow_has_the_answers_of_columns(server: Any, packed: bool) -> None:
    sink = pa.BufferOutputStream()
    table = pa.table(COLUMNS)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = sink.getvalue().to_pybytes()
    headers = {"content-type": "application/vnd.apache.arrow.stream"}
    if packed:
        body, headers = gzip.compress(body), {**headers, "content-encoding": "gzip"}
    with server.client as client:
        plain = client.post(PATH, json={"columns": COLUMNS}).json()
        reply = client.post(PATH, content=body, headers=headers)
        refused = client.post(PATH, content=b"x", headers={"content-type": headers["content-type"]})
    assert (200, headers["content-type"]) == (reply.status_code, reply.headers["content-type"])
    found = pa.ipc.open_stream(reply.content).read_all()
    assert plain["scores"] == found["score"].to_pylist()
    assert plain["decisions"] == found["decision"].to_pylist()
    assert (400, "malformed_arrow") == (refused.status_code, refused.json()["error"]["code"])
