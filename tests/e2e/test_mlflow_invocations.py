"""MLflow's scoring formats: the same answers as plain rows, and clear refusals."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from typing import Any

import pytest

PATH = "/models/risk/invocations"
NAMES = ["amount", "visits", "country"]
DATA: list[list[Any]] = [[20.0, 3, "nl"], [None, 4, "fr"], [900.0, 0, "de"]]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in DATA]
COLUMNS = {name: [row[at] for row in DATA] for at, name in enumerate(NAMES)}
GOOD: dict[str, Any] = {
    "dataframe_split": {"columns": NAMES, "data": DATA, "index": [0, 1, 2]},
    "dataframe_records": RECORDS,
    "inputs": COLUMNS,
    "instances": RECORDS,
}


def decisions(server: Any) -> list[Any]:
    with server.client as client:
        rows = [{"features": row} for row in RECORDS]
        answer = client.post("/models/risk/predict", json={"rows": rows}).json()
    return [row["decision"] for row in answer["predictions"]]


@pytest.mark.parametrize("form", GOOD)
def test_every_form_has_the_answers_of_plain_rows(server: Any, form: str) -> None:
    with server.client as client:
        reply = client.post(PATH, json={form: GOOD[form], "params": {"anything": 1}})
    assert {"predictions": decisions(server)} == reply.json()


def test_rows_without_names_are_in_the_order_of_the_signature(server: Any) -> None:
    with server.client as client:
        replies = [client.post(PATH, json={form: DATA}) for form in ("inputs", "instances")]
    assert [{"predictions": decisions(server)}] * 2 == [reply.json() for reply in replies]


def test_a_client_of_mlflow_changes_its_url(server: Any) -> None:
    """Run in a process of its own, since MLflow warns when it is imported."""
    asked = f"""
import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
client = ScoringServerClient("127.0.0.1", 1)
client.url_prefix = "{server.url}/models/risk"
client.wait_server_ready(timeout=10)
frame = pd.DataFrame({DATA!r}, columns={NAMES!r})
assert frame["amount"].isna().any()
print(client.invoke(frame).get_predictions()[0].tolist())
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", asked], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    assert decisions(server) == ast.literal_eval(done.stdout)


def test_csv(server: Any) -> None:
    text = 'country,visits,amount\r\nnl,3,20.0\r\nfr,4,\r\n"de",0,900\r\n'
    with server.client as client:
        reply = client.post(
            PATH, content=text.encode(), headers={"content-type": "text/csv; charset=utf-8"}
        )
    assert {"predictions": decisions(server)} == reply.json()


def test_keys_and_ids_are_columns(server: Any) -> None:
    row = {**RECORDS[0], "trimtab.key": "ann", "trimtab.prediction_id": "bill-1"}
    with server.client as client:
        assert 200 == client.post(PATH, json={"dataframe_records": [row]}).status_code
        told = client.post(
            "/models/risk/outcomes", json={"prediction_id": "bill-1", "value": "bad"}
        )
    assert "recorded" == told.json()["outcomes"][0]["status"]


def split(**rest: Any) -> bytes:
    return json.dumps({"dataframe_split": {"columns": NAMES, "data": DATA, **rest}}).encode()


BAD: list[tuple[str, str, bytes, int, str]] = [
    ("malformed", "application/json", b"{", 400, "malformed_json"),
    ("no form", "application/json", b"{}", 400, "invalid_request"),
    ("two forms", "application/json", b'{"inputs": [], "instances": []}', 400, "invalid_request"),
    ("unknown form", "application/json", b'{"dataframe": []}', 400, "invalid_shape"),
    ("no columns", "application/json", b'{"dataframe_split": {"data": []}}', 400, "invalid_shape"),
    ("no rows", "application/json", split(data=[]), 400, "invalid_request"),
    ("short row", "application/json", split(data=[[1.0, 2]]), 400, "invalid_request"),
    ("a column twice", "application/json", split(columns=["amount"] * 3), 400, "invalid_request"),
    ("nested value", "application/json", split(data=[[[1], 2, "nl"]]), 400, "invalid_shape"),
    ("text for a number", "application/json", split(data=[["x", 2, "nl"]]), 422, "wrong_type"),
    ("unknown column", "application/json", json.dumps({"instances": [{**RECORDS[0], "colour": 1}]}).encode(), 422, "unknown_feature"),
    ("ragged columns", "application/json", json.dumps({"inputs": {**COLUMNS, "visits": [1]}}).encode(), 400, "invalid_request"),
    ("a column that is none", "application/json", json.dumps({"inputs": {"visits": 1}}).encode(), 400, "invalid_request"),
    ("scalars", "application/json", b'{"instances": [1, 2]}', 400, "invalid_request"),
    ("too many rows", "application/json", split(data=[[1.0, 2, "nl"]] * 101), 413, "too_many_rows"),
    ("empty key", "application/json", json.dumps({"instances": [{**RECORDS[0], "trimtab.key": ""}]}).encode(), 400, "invalid_shape"),
    ("empty CSV", "text/csv", b"", 400, "invalid_request"),
    ("CSV without rows", "text/csv", b"amount,visits,country\n", 400, "invalid_request"),
    ("CSV with a short row", "text/csv", b"amount,visits,country\n1,2\n", 400, "invalid_request"),
    ("CSV with text for a number", "text/csv", b"amount,visits,country\nx,2,nl\n", 422, "wrong_type"),
    ("CSV with an infinite number", "text/csv", b"amount,visits,country\ninf,2,nl\n", 422, "not_finite"),
    ("CSV that is cut off", "text/csv", b'amount,visits,country\n1,2,"nl', 400, "malformed_csv"),
    ("CSV that is not UTF-8", "text/csv", b"amount\n\xff\n", 400, "malformed_csv"),
    ("another type", "application/xml", b"<a/>", 415, "unsupported_media_type"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("media", "body", "status", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_bad_invocations(server: Any, media: str, body: bytes, status: int, code: str) -> None:
    with server.client as client:
        reply = client.post(PATH, content=body, headers={"content-type": media})
    assert (status, code) == (reply.status_code, reply.json()["error"]["code"])
