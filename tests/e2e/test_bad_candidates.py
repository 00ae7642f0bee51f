"""A candidate that raises, sleeps, answers nonsense or ends its process: callers get the champion, and it goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.clients import Load, eventually, journal, overview
from tests.e2e.conftest import Start, importable, registered
from tests.e2e.recorded import opened

from trimtab.types import Rollout

PLAN = """
[models.risk]
deadline_ms = 50

[models.risk.rollout]
steps = [{ share = 0.5, bake_seconds = 3600 }]

[[models.risk.rollout.guardrails]]
name = "errors"
event = "error"

[auth]
allow_code = ["risk"]
"""

MODELS = """
import os
import signal
import threading
import numpy as np

def real(columns):
    return columns["amount"].any()

def fine(columns):
    return np.full(len(columns["visits"]), 0.5)

def raising(columns):
    if real(columns):
        raise RuntimeError("broken in production")
    return fine(columns)

def sleeping(columns):
    if real(columns):
        threading.Event().wait(5.0)
    return fine(columns)

def nothing(columns):
    return fine(columns) * np.nan if real(columns) else fine(columns)

def misshapen(columns):
    return np.ones((len(columns["visits"]), 7)) / 7 if real(columns) else fine(columns)

def ending(columns):
    if real(columns):
        os._exit(7)
    return fine(columns)

def crashing(columns):
    os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    importable(tmp_path / "code", "bad_models", MODELS, monkeypatch)
    config = registered(tmp_path, workers=2)
    config.write_text(config.read_text() + PLAN)
    return config


def begin(config: Path, function: str) -> int:
    with opened(config) as deployment:
        signature = deployment.version("risk", 1).signature
        made = deployment.registry.register("risk", f"bad_models:{function}", signature=signature)
        deployment.deploy_or_roll_out("risk", made.version, actor="test", reason=function)
        return made.version


def latest(config: Path) -> Rollout:
    """Read from the state: a request of the test's own could be in flight in the worker that ends."""
    with opened(config) as deployment, deployment.state.reading() as state:
        return state.control.rollouts("risk")[-1]


@pytest.mark.parametrize("way", ["lane", "asgi"])
def test_what_answers_badly_fails_nobody_and_is_rolled_back(
    serve: Start, deployed: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_SERVE__HTTP", way)
    server = serve(deployed)
    workers = server.children()
    with Load(server.url) as load:
        for function in ("raising", "sleeping", "nothing", "misshapen"):
            version = begin(deployed, function)
            rollout = eventually(
                lambda: overview(server)["rollouts"][-1], lambda found: found["state"] != "running"
            )
            assert (version, "rolled_back") == (rollout["candidate"], rollout["state"]), function
            assert rollout["reason"].startswith("Rolled back by the guardrail errors")
        load.more(50)
    assert {200} == set(load.statuses)
    assert {0.5} >= {answer["score"] for answer in load.acknowledged if answer["version"] > 1}
    assert workers == server.children()


@pytest.mark.parametrize("way", ["lane", "asgi"])
@pytest.mark.parametrize("function", ["ending", "crashing"])
def test_what_ends_its_process_costs_only_what_was_in_flight_there(
    serve: Start, deployed: Path, function: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIMTAB_SERVE__HTTP", way)
    server = serve(deployed)
    with Load(server.url) as load:
        begin(deployed, function)
        rollout = eventually(
            lambda: latest(deployed), lambda found: found.state != "running", seconds=60.0
        )
        load.more(100)
    assert "rolled_back" == rollout.state
    assert rollout.reason.startswith("Rolled back by the guardrail errors")
    assert {200} == set(load.statuses)
    assert {0.5} >= {answer["score"] for answer in load.acknowledged if answer["version"] > 1}
    deaths = [r for r in journal(deployed) if r.failed == "process_exit" and r.shadow]
    assert 1 <= len(deaths) <= 6
