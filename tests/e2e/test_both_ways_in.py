"""The lane is the default; the ASGI application alone stays a setting, and answers the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.clients import journal
from tests.e2e.conftest import Start, registered

from trimtab.config import load

ROW = {"amount": 20.5, "visits": 3, "country": "fr"}
BODIES: list[Any] = [
    {"features": ROW, "key": "u1"},
    {"rows": [{"features": ROW, "key": "u1"}, {"features": {**ROW, "amount": None}, "key": "u2"}]},
    {"columns": {name: [value, value] for name, value in ROW.items()}, "keys": ["u1", "u2"]},
    {"features": {**ROW, "visits": "many"}},
    {"features": {"amount": 1.0, "country": "de"}},
    {"features": ROW, "more": 1},
    {"rows": []},
    [],
]


def told(reply: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """A reply without what differs from one prediction to the next."""
    body = reply.json()
    for row in body.get("predictions", ()):
        del row["prediction_id"]
    body.pop("prediction_ids", None)
    headers = {
        name: reply.headers[name]
        for name in ("content-type", "connection")
        if name in reply.headers
    }
    return reply.status_code, headers, body


def test_the_lane_and_the_application_answer_alike_and_record_alike(
    serve: Start, tmp_path: Path
) -> None:
    config = registered(tmp_path)
    assert load(config, environ={}).serve.http == "lane"
    answers, recorded = [], []
    for http in ("lane", "asgi"):
        config.write_text(config.read_text().replace("[serve]\n", f'[serve]\nhttp = "{http}"\n'))
        before = len(journal(config))
        server = serve(config)
        with server.client as client:
            answers.append(
                [
                    told(client.post("/models/risk/predict", content=json.dumps(body)))
                    for body in BODIES
                    for _ in range(2)
                ]
            )
        server.process.terminate()
        assert server.process.wait(30) == 0
        config.write_text(config.read_text().replace(f'http = "{http}"\n', ""))
        records = journal(config)[before:]
        recorded.append(
            [(one.unit if one.sticky else "", one.values, one.score) for one in records]
        )
    assert answers[1] == answers[0]
    assert [status for status, _, _ in answers[0][::2]] == [200, 200, 200, 422, 422, 400, 400, 400]
    assert recorded[1] == recorded[0]
    assert len(recorded[0]) == 2 * 5
