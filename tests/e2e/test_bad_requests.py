"""Whatever is wrong with a request, it gets a status and a body that says what, and records nothing."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

ROW = {"amount": 20.0, "visits": 3, "country": "nl"}

BAD_PREDICTIONS: list[tuple[str, bytes, int, str]] = [
    ("malformed JSON", b'{"features": {', 400, "malformed_json"),
    ("NaN literal", b'{"features": {"amount": NaN, "visits": 1, "country": "nl"}}', 400, "malformed_json"),
    ("not UTF-8", b'{"features": {"country": "\xff\xfe"}}', 400, "malformed_json"),
    ("an array", b"[]", 400, "invalid_shape"),
    ("empty body", b"", 400, "malformed_json"),
    ("neither features nor rows", b"{}", 400, "invalid_request"),
    ("both", json.dumps({"features": ROW, "rows": []}).encode(), 400, "invalid_request"),
    ("no rows", b'{"rows": []}', 400, "invalid_request"),
    ("too many rows", json.dumps({"rows": [{"features": ROW}] * 101}).encode(), 413, "too_many_rows"),
    ("unknown field", json.dumps({"features": ROW, "colour": 1}).encode(), 400, "invalid_shape"),
    ("unknown feature", json.dumps({"features": {**ROW, "amuont": 1}}).encode(), 422, "unknown_feature"),
    ("text for a number", json.dumps({"features": {**ROW, "amount": "20"}}).encode(), 422, "wrong_type"),
    ("truth for a number", json.dumps({"features": {**ROW, "amount": True}}).encode(), 422, "wrong_type"),
    ("number for text", json.dumps({"features": {**ROW, "country": 3}}).encode(), 422, "wrong_type"),
    ("fraction for an integer", json.dumps({"features": {**ROW, "visits": 2.5}}).encode(), 422, "not_integer"),
    ("missing feature", json.dumps({"features": {"amount": 1.0, "country": "nl"}}).encode(), 422, "missing_feature"),
    ("null for a needed feature", json.dumps({"features": {**ROW, "visits": None}}).encode(), 422, "missing_feature"),
    ("nested value", json.dumps({"features": {**ROW, "amount": [1]}}).encode(), 400, "invalid_shape"),
    ("empty key", json.dumps({"features": ROW, "key": ""}).encode(), 400, "invalid_shape"),
    ("far future", json.dumps({"features": ROW, "event_time": 9e9}).encode(), 422, "event_time_out_of_range"),
    ("time without offset", json.dumps({"features": ROW, "event_time": "2026-01-01T00:00:00"}).encode(), 400, "invalid_request"),
    ("negative deadline", json.dumps({"features": ROW, "deadline_ms": -1}).encode(), 400, "invalid_shape"),
    ("too large", b'{"features": {"country": "' + b"x" * 100_000 + b'"}}', 413, "body_too_large"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [b[1:] for b in BAD_PREDICTIONS],
    ids=[b[0] for b in BAD_PREDICTIONS],
)
def test_bad_prediction(server: Any, body: bytes, status: int, code: str) -> None:
    with server.client as client:
        reply = client.post("/models/risk/predict", content=body)
    error = reply.json()["error"]
    assert (status, code) == (reply.status_code, error["code"])
    assert error["message"]


def test_unknown_model_and_route_and_method(server: Any) -> None:
    with server.client as client:
        unknown = client.post("/models/nope/predict", json={"features": ROW})
        nowhere = client.get("/nowhere")
        method = client.get("/models/risk/predict")
        media = client.post(
            "/models/risk/predict", content=b"x", headers={"content-type": "text/csv"}
        )
    assert (404, "unknown_model") == (unknown.status_code, unknown.json()["error"]["code"])
    assert "risk" in unknown.json()["error"]["hint"]
    assert (404, "no_route") == (nowhere.status_code, nowhere.json()["error"]["code"])
    assert (405, "POST") == (method.status_code, method.headers["allow"])
    assert (415, "unsupported_media_type") == (media.status_code, media.json()["error"]["code"])


def test_outcomes_known_duplicate_corrected_and_unknown(server: Any) -> None:
    with server.client as client:
        made = client.post("/models/risk/predict", json={"features": ROW}).json()
        known = made["predictions"][0]["prediction_id"]
        said = {"prediction_id": known, "value": "bad"}
        first, again, other = (
            client.post("/models/risk/outcomes", json=body)
            for body in (said, said, {**said, "value": "good"})
        )
        unknown = client.post("/models/risk/outcomes", json={**said, "prediction_id": "0" * 32})
        mixed = client.post(
            "/models/risk/outcomes",
            json={"outcomes": [said, {**said, "prediction_id": "f" * 32}]},
        )
        bad_value = client.post("/models/risk/outcomes", json={**said, "value": "ugly"})
        no_model = client.post("/models/nope/outcomes", json=said)
    statuses = [reply.json()["outcomes"][0]["status"] for reply in (first, again, other)]
    assert ["recorded", "duplicate", "corrected"] == statuses
    assert (404, "unknown_prediction") == (unknown.status_code, unknown.json()["error"]["code"])
    assert unknown.json()["error"]["hint"]
    assert 207 == mixed.status_code
    assert 400 <= bad_value.status_code < 500
    assert "outcomes[0]" in (bad_value.json()["error"]["path"] or "")
    assert 404 == no_model.status_code


def test_event_times_may_go_back_and_missing_is_null_nan_or_absent(server: Any) -> None:
    with server.client as client:
        replies = [
            client.post("/models/risk/predict", json={"features": ROW, "event_time": when})
            for when in (1.7e9, 1.6e9, "2023-01-01T00:00:00Z")
        ]
        absent = client.post(
            "/models/risk/predict", json={"features": {"visits": 3, "country": "nl"}}
        )
        null = client.post("/models/risk/predict", json={"features": {**ROW, "amount": None}})
    assert [200] * 3 == [reply.status_code for reply in replies]
    scores = {reply.json()["predictions"][0]["score"] for reply in (absent, null)}
    assert 1 == len(scores)


def test_changes_need_a_token(server: Any) -> None:
    with server.client as client:
        nobody = client.post("/api/v1/models/risk/rollback", json={"reason": "test"})
        wrong = client.post(
            "/api/v1/models/risk/rollback",
            json={"reason": "test"},
            headers={"authorization": "Bearer guess"},
        )
    assert [401, 401] == [nobody.status_code, wrong.status_code]
    assert "Bearer" == nobody.headers["www-authenticate"]


def test_refused_requests_are_counted_and_not_recorded(server: Any) -> None:
    with server.client as client:
        before = _predictions(client)
        for _ in range(5):
            client.post("/models/risk/predict", content=b"{")
        client.post("/models/risk/predict", json={"features": ROW})
        after = _predictions(client)
        metrics = client.get("/metrics").text
    assert before + 1 == after
    assert 'ml_requests_total{code="400",model="risk"}' in metrics


def test_made_up_names_do_not_become_labels(server: Any) -> None:
    bodies = (b"{", json.dumps({"features": ROW}).encode(), b"x" * 100_001)
    with server.client as client:
        for i, body in enumerate(bodies):
            client.post(f"/models/made-up-{i}/predict", content=body)
            client.post(f"/models/made-up-{i}/outcomes", content=body)
        metrics = client.get("/metrics").text
    assert "made-up" not in metrics
    assert {'ml_requests_total{code="413",model="unknown"} 2.0'} <= set(metrics.splitlines())


def _predictions(client: Any) -> int:
    """How many predictions the watcher has seen, once it has seen all."""
    seen = -1
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        text = client.get("/metrics").text
        counted = sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith("ml_predictions_total{")
        )
        versions = client.get("/api/v1/models/risk").json()["versions"]
        seen = sum(version["predictions"] for version in versions)
        if seen >= counted:
            return seen
    return seen
