"""The repository extension: models leave memory and come back, and nobody else notices."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.clients import Load
from tests.e2e.conftest import Running, fitted, frame, registered, start_server, stop

from trimtab.config import load
from trimtab.types import Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

ROOT = Path(__file__).resolve().parents[2]
SECRET = "open-sesame"
ROLLOUT = """
[models.other.rollout]
outcome_delay_seconds = 1
steps = [{ share = 0.5, bake_seconds = 3600 }]

[[models.other.rollout.guardrails]]
name = "errors"
event = "error"
"""
TOKEN = {"authorization": f"Bearer {SECRET}"}
INFER = {
    "inputs": [
        {"name": "visits", "datatype": "INT64", "shape": [1], "data": [3]},
        {"name": "country", "datatype": "BYTES", "shape": [1], "data": ["nl"]},
    ]
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a token; beside ``risk`` there are two versions of ``other``, not deployed."""
    folder = tmp_path_factory.mktemp("server")
    path = registered(folder)
    (folder / "token").write_text(SECRET)
    auth = f'\n[[auth.tokens]]\nname = "ops"\nrole = "operator"\nsecret = "file:{folder}/token"\n'
    path.write_text(path.read_text() + auth + ROLLOUT)
    deployment = Deployment.open(load(path, environ={}))
    data = frame(500)
    training = Training(
        reference=data, outcome="outcome", time="time", task=Task.BINARY, labels=("good", "bad")
    )
    for _ in range(2):
        register(deployment, "other", fitted(data), training, author="test", trust=True)
    deployment.close()
    running = start_server(path)
    yield running
    stop(running)


def states(client: Any, **body: Any) -> dict[tuple[str, str], tuple[str, str]]:
    reply = client.post("/v2/repository/index", json=body)
    assert 200 == reply.status_code
    return {(e["name"], e["version"]): (e["state"], e["reason"]) for e in reply.json()}


def test_a_model_is_loaded_unloaded_and_loaded_again(server: Any) -> None:
    with server.client as client:
        before = states(client)
        never = client.post("/v2/models/other/infer", json=INFER)
        first = client.post(
            "/v2/repository/models/other/load",
            json={"parameters": {"version": "1", "reason": "Day shift."}},
            headers=TOKEN,
        )
        answered = client.post("/v2/models/other/infer", json=INFER)
        out = client.post("/v2/repository/models/other/unload", headers=TOKEN)
        away = [
            client.get("/v2/models/other/ready"),
            client.post("/v2/models/other/infer", json=INFER),
        ]
        between, in_memory = states(client), states(client, ready=True)
        back = client.post("/v2/repository/models/other/load", headers=TOKEN)
        again = client.post("/v2/models/other/infer", json=INFER)
        events = client.get("/api/v1/events?model=other").json()
        client.post("/v2/repository/models/other/unload", headers=TOKEN)
    assert ("READY", "") == before["risk", "1"]
    assert [("UNAVAILABLE", "not deployed")] * 2 == [before["other", v] for v in ("1", "2")]
    assert [404, 200, 200, 200] == [r.status_code for r in (never, first, answered, out)]
    assert [(404, "unknown_model")] * 2 == [(r.status_code, r.json()["code"]) for r in away]
    assert ("UNAVAILABLE", "unloaded") == between["other", "1"]
    assert ("UNAVAILABLE", "takes no traffic") == between["other", "2"]
    assert {("risk", "1"): ("READY", "")} == in_memory
    assert [200, 200] == [back.status_code, again.status_code]
    assert answered.json()["outputs"][0] == again.json()["outputs"][0]
    told = [(e["action"], e["actor"]) for e in events if e["action"] != "register"]
    assert [("deploy", "ops"), ("unload", "ops"), ("load", "ops")] == told
    assert "Day shift." in {e["reason"] for e in events}


def test_nobody_else_notices(server: Any) -> None:
    with server.client as client, Load(server.url) as load_on_risk:
        statuses = set()
        for _ in range(5):
            for act in ("load", "unload"):
                reply = client.post(f"/v2/repository/models/other/{act}", headers=TOKEN)
                statuses.add(reply.status_code)
            load_on_risk.more(20)
    assert {200} == statuses == set(load_on_risk.statuses)


def test_a_version_beside_the_champion_is_a_rollout(server: Any) -> None:
    def ask(client: Any, act: str, **parameters: Any) -> tuple[int, str]:
        body = {"parameters": parameters} if parameters else {}
        reply = client.post(f"/v2/repository/models/other/{act}", json=body, headers=TOKEN)
        return reply.status_code, reply.json().get("code", "")

    with server.client as client:
        assert (200, "") == ask(client, "load")
        champion = client.get("/v2/models/other").json()["versions"][0]
        candidate = "2" if champion == "1" else "1"
        assert (200, "") == ask(client, "load", version=candidate)
        assert [champion, candidate] == client.get("/v2/models/other").json()["versions"]
        assert (409, "rollout_running") == ask(client, "unload")
        assert (409, "rollout_running") == ask(client, "unload", version=champion)
        assert (200, "") == ask(client, "unload", version=candidate)
        assert (404, "version_not_live") == ask(client, "unload", version=candidate)
        assert [champion] == client.get("/v2/models/other").json()["versions"]
        assert (200, "") == ask(client, "unload", version=champion)
        assert 404 == client.get("/v2/models/other").status_code


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "code"),
    [
        ("models/risk/unload", b"", {}, 401, "unauthorized"),
        ("models/risk/load", b"", {"authorization": "Bearer guess"}, 401, "unauthorized"),
        ("models/nope/load", b"", TOKEN, 404, "model_not_found"),
        ("models/nope/unload", b"", TOKEN, 404, "not_deployed"),
        ("models/risk/load", b'{"parameters": {"version": 7}}', TOKEN, 404, "unknown_version"),
        ("models/risk/unload", b'{"parameters": {"version": "7"}}', TOKEN, 404, "unknown_version"),
        ("models/risk/load", b'{"parameters": {"config": "{}"}}', TOKEN, 400, "invalid_shape"),
        ("models/risk/load", b'{"parameters": {"reason": " "}}', TOKEN, 200, ""),
        ("models/risk/unload", b'{"parameters": {"reason": " "}}', TOKEN, 422, "reason_required"),
        ("models/risk/unload", b"{", TOKEN, 400, "malformed_json"),
        ("index", b'{"ready": 1}', {}, 400, "invalid_shape"),
    ],
)  # fmt: skip
def test_refusals(
    server: Any, path: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    with server.client as client:
        reply = client.post(f"/v2/repository/{path}", content=body, headers=headers)
        alive = client.post("/v2/models/risk/infer", json=INFER)
    assert (status, code) == (reply.status_code, reply.json().get("code", ""))
    assert 200 == alive.status_code


def test_an_unmodified_tritonclient_loads_and_unloads(server: Any) -> None:
    made = subprocess.run(
        [ROOT / "scripts" / "peer-env.sh", "tritonclient"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    peer = Path(__file__).with_name("tritonclient_peer.py")
    ran = subprocess.run(
        [made.stdout.strip(), peer, server.url.removeprefix("http://"), SECRET],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "tritonclient is served" == ran.stdout.strip().splitlines()[-1], ran.stdout
