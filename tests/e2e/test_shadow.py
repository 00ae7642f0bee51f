"""A shadow over HTTP: whatever it does, callers get the champion and every worker lives on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.e2e.clients import Load, eventually, journal, overview
from tests.e2e.conftest import Start, importable, registered
from tests.e2e.recorded import opened

PLAN = """
[models.risk.rollout]
strategy = "shadow"
steps = [{ share = 1.0, bake_seconds = 3600 }]

[[models.risk.rollout.guardrails]]
name = "shadow errors"
event = "error"

[auth]
allow_code = ["risk:2"]
"""

MODELS = """
import os
import numpy as np

def steady(columns):
    return np.full(len(columns["visits"]), 0.5)

def raising(columns):
    if columns["visits"].any():
        raise RuntimeError("broken in production")
    return np.full(len(columns["visits"]), 0.5)

def ending(columns):
    if columns["visits"].any():
        os._exit(7)
    return np.full(len(columns["visits"]), 0.5)
"""


@pytest.fixture
def shadowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A deployed champion, a plan for a shadow, and code that a shadow may be."""
    importable(tmp_path / "code", "shadow_models", MODELS, monkeypatch)
    config = registered(tmp_path, workers=2)
    config.write_text(config.read_text() + PLAN)
    return config


def begin(config: Path, function: str) -> None:
    with opened(config) as deployment:
        signature = deployment.version("risk", 1).signature
        name = f"shadow_models:{function}"
        deployment.registry.register("risk", name, signature=signature)
        deployment.deploy_or_roll_out("risk", 2, actor="test", reason="shadow")


def shadows(config: Path) -> list[int]:
    """The shadow processes that were started."""
    lines = map(json.loads, (config.parent / "server.log").read_text().splitlines())
    return [
        int(line["child_pid"])
        for line in lines
        if line["event"] == "worker_started" and line["child"] == "trimtab.serve.shadow"
    ]


def test_a_shadow_answers_beside_the_champion_and_nobody_gets_it(
    serve: Start, shadowed: Path
) -> None:
    server = serve(shadowed)
    begin(shadowed, "steady")
    with Load(server.url) as load:
        made = eventually(
            lambda: [r for r in journal(shadowed) if r.shadow], lambda found: len(found) > 50
        )
        assert [os.SCHED_OTHER] == [os.sched_getscheduler(pid) for pid in shadows(shadowed)]
    assert {200} == set(load.statuses)
    assert {1} == {answer["version"] for answer in load.acknowledged}
    assert {(2, 0.5, None)} == {(r.version, r.score, r.failed) for r in made}
    versions = overview(server)["versions"]
    assert [True, False] == [bool(version["predictions"]) for version in versions]


def test_a_shadow_that_raises_is_rolled_back_by_itself(serve: Start, shadowed: Path) -> None:
    server = serve(shadowed)
    begin(shadowed, "raising")
    with Load(server.url) as load:
        rollout = eventually(
            lambda: overview(server)["rollouts"][-1], lambda found: found["state"] != "running"
        )
    assert "rolled_back" == rollout["state"]
    assert rollout["reason"].startswith("Rolled back by the guardrail shadow errors")
    assert {200} == set(load.statuses)
    assert {1} == {answer["version"] for answer in load.acknowledged}


def test_a_shadow_that_ends_its_process_ends_no_worker(serve: Start, shadowed: Path) -> None:
    server = serve(shadowed)
    before = server.children()
    begin(shadowed, "ending")
    log = shadowed.parent / "server.log"
    with Load(server.url) as load:
        eventually(
            lambda: sum(
                "worker_died" in line and "serve.shadow" in line
                for line in log.read_text().splitlines()
            ),
            lambda deaths: deaths >= 2,
        )
        load.more(100)
    assert {200} == set(load.statuses)
    assert before == server.children()
