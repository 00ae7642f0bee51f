"""Two candidates at once over HTTP: the one that fails is taken off alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.clients import Load, eventually, journal, overview
from tests.e2e.conftest import Start, importable, registered
from tests.e2e.recorded import opened

PLAN = """
[models.risk.rollout]
strategy = "ab"
steps = [{ shares = [0.2, 0.3], bake_seconds = 3600 }]

[[models.risk.rollout.guardrails]]
name = "errors"
event = "error"

[auth]
allow_code = ["risk"]
"""

MODELS = """
import numpy as np

def steady(columns):
    return np.full(len(columns["visits"]), 0.5)

def raising(columns):
    if columns["amount"].any():
        raise RuntimeError("broken in production")
    return np.full(len(columns["visits"]), 0.5)
"""


def test_the_candidate_that_fails_is_taken_off_and_the_other_stays(
    serve: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importable(tmp_path / "code", "ab_models", MODELS, monkeypatch)
    config = registered(tmp_path, workers=2)
    config.write_text(config.read_text() + PLAN)
    server = serve(config)
    with opened(config) as deployment:
        signature = deployment.version("risk", 1).signature
        for name in ("steady", "raising"):
            deployment.registry.register("risk", f"ab_models:{name}", signature=signature)
        deployment.deploy_or_roll_out("risk", 2, actor="test", reason="two", rivals=[3])
    with Load(server.url) as load:
        rollout = eventually(
            lambda: overview(server)["rollouts"][-1], lambda found: bool(found["lost"])
        )
        load.more(100)
    assert ("running", [2]) == (rollout["state"], rollout["lost"])
    arms = overview(server)["route"]["arms"]
    assert [(1, 0.8), (2, 0.2), (3, 0.0)] == [(arm["version"], arm["share"]) for arm in arms]
    assert {200} == set(load.statuses)
    assert {1, 2} == {answer["version"] for answer in load.acknowledged}
    shares = {record.shares for record in journal(config) if record.rollout == rollout["id"]}
    assert {(0.5, 0.2, 0.3), (0.8, 0.2, 0.0)} == shares
