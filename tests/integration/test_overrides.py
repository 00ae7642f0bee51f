"""A tester's key over the command line, real state and the flow: answered as told, counted nowhere."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trimtab.cli.main import cli
from trimtab.config import load
from trimtab.telemetry import Metrics
from trimtab.testing import MemoryJournal
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    PredictRequest,
    RowRequest,
    Signature,
    Task,
)
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import Serving

MODELS = """
import numpy as np

def one(columns):
    return np.full(len(columns["amount"]), 0.25)

def two(columns):
    return np.full(len(columns["amount"]), 0.75)
"""
CONFIG = """
[state]
dir = "{state}"

[auth]
allow_code = ["risk"]

[models.risk.rollout]
steps = [{{ share = 0.0001, bake_seconds = 60 }}]

[[models.risk.rollout.guardrails]]
name = "errors"
event = "error"
"""
WHO: dict[str, Any] = {"actor": "ada", "reason": "because"}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tested_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "trimtab.toml"
    path.write_text(CONFIG.format(state=(tmp_path / "state").as_posix()))
    deployment = Deployment.open(load(path, environ={}))
    signature = Signature(
        features=(FeatureSpec(name="amount", kind=FeatureKind.NUMERIC),),
        task=Task.BINARY,
        labels=("good", "bad"),
    )
    for name in ("one", "two"):
        deployment.registry.register("risk", f"tested_models:{name}", signature=signature)
        deployment.deploy_or_roll_out("risk", ["one", "two"].index(name) + 1, **WHO)
    deployment.close()
    return path


def run(config: Path, *arguments: str) -> Any:
    done = CliRunner().invoke(cli, ["override", *arguments, "--config", str(config), "--json"])
    assert 0 == done.exit_code, done.output
    return json.loads(done.output)


def test_a_testers_key_is_answered_as_told_and_counts_nowhere(config: Path) -> None:
    deployment = Deployment.open(load(config, environ={}))
    journal = MemoryJournal()
    serving = Serving.open(deployment, Metrics(), journal)
    serving.start()

    def answered(key: str) -> int:
        row = RowRequest(features={"amount": 1.0}, key=key)
        answer = asyncio.run(serving.flow.predict("risk", PredictRequest(rows=(row,))))
        return answer.predictions[0].version

    assert 1 == answered("tester")
    made = run(config, "set", "risk", "tester", "2", "--reason", "trying")
    assert [2] == list(made.values())
    assert made == run(config, "list", "risk")
    assert [2, 1] == [answered("tester"), answered("somebody")]
    assert {} == run(config, "clear", "risk", "tester", "--reason", "done")
    assert 1 == answered("tester")
    assert ["risk-0001", None, "risk-0001", "risk-0001"] == [r.rollout for r in journal.records]
    with deployment.state.reading() as state:
        actions = [(entry.action, entry.reason) for entry in state.audit.entries("risk")]
    assert [("override", "trying"), ("override_end", "done")] == actions[-2:]
    asyncio.run(serving.close())
    deployment.close()
