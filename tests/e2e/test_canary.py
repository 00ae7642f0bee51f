"""Rollouts over HTTP: a good candidate is promoted, a harmful one is rolled back, nobody is failed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from tests.e2e.clients import Load, Traffic, eventually, overview
from tests.e2e.conftest import Running, Start, fitted, frame, importable, registered
from tests.e2e.recorded import opened

from trimtab.cli.main import cli
from trimtab.types import Task
from trimtab.wiring.registration import Training, register

PLAN = """
[models.risk.rollout]
alpha = 0.05
outcome_delay_seconds = 600
certificate_margin = 0.9
steps = [{ share = 0.2, bake_seconds = 3600 }, { share = 0.5, bake_seconds = 3600 }]

[[models.risk.rollout.guardrails]]
name = "wrong decisions"
event = "wrong_decision"
weight = 4
cost_per_event = 12.0
currency = "EUR"

[[models.risk.rollout.guardrails]]
name = "candidate errors"
event = "error"
"""

RAISING = """
import numpy as np

def answer(columns):
    if columns["amount"].any():
        raise RuntimeError("broken in production")
    return np.full(len(columns["visits"]), 0.5)
"""

REGULARS = [f"regular-{i}" for i in range(40)]
BATCH_SECONDS = 600.0
MOST_BATCHES = 60


def planned(folder: Path, *, workers: int = 1) -> Path:
    config = registered(folder, workers=workers)
    config.write_text(config.read_text() + PLAN)
    return config


def candidate(config: Path, data: pd.DataFrame) -> None:
    """Train version 2 on the data, register it, and start its rollout."""
    training = Training(
        reference=data,
        outcome="outcome",
        time="time",
        task=Task.BINARY,
        labels=("good", "bad"),
    )
    with opened(config) as deployment:
        version = register(deployment, "risk", fitted(data), training, author="test", trust=True)
        deployment.deploy_or_roll_out("risk", version.version, actor="test", reason="second")


def until_ended(server: Running) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Send traffic until the rollout is over; every answer with its key, and the rollout."""
    traffic = Traffic(server)
    answers: list[dict[str, Any]] = []
    rollout: dict[str, Any] = {}
    for turn in range(MOST_BATCHES):
        data = frame(100, seed=100 + turn)
        keys = [*REGULARS, *(f"{turn}-{i}" for i in range(100 - len(REGULARS)))]
        made = traffic.send(data, keys, seconds=BATCH_SECONDS)
        answers += [{**answer, "key": key} for answer, key in zip(made, keys, strict=True)]
        rollout = overview(server)["rollouts"][-1]
        if rollout["state"] != "running":
            return answers, rollout
    pytest.fail(f"still running after {MOST_BATCHES} batches: {rollout['reason']}")


def share(server: Running, version: int) -> float:
    arms = overview(server)["route"]["arms"]
    return sum(arm["share"] for arm in arms if arm["version"] == version)


def settled(server: Running, fits: Callable[[set[int]], bool]) -> None:
    """Wait until what 40 keys in a row are answered by fits."""

    def versions() -> set[int]:
        row = {"visits": 3, "country": "nl"}
        body = {"rows": [{"features": row, "key": key} for key in REGULARS]}
        with server.client as client:
            answer = client.post("/models/risk/predict", json=body).json()
        return {made["version"] for made in answer["predictions"]}

    eventually(versions, fits)


def test_an_equal_candidate_ramps_up_and_is_promoted(serve: Start, tmp_path: Path) -> None:
    config = planned(tmp_path, workers=2)
    server = serve(config)
    candidate(config, frame(seed=3))
    answers, rollout = until_ended(server)
    assert ("promoted", 1) == (rollout["state"], rollout["step"])
    assert "Certified" in rollout["reason"]
    assert [(2, 1.0)] == [(a["version"], a["share"]) for a in overview(server)["route"]["arms"]]
    settled(server, lambda versions: versions == {2})

    seen: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for answer in answers:
        seen[answer["key"]][answer["epoch"]].add(answer["version"])
    epochs = sorted({answer["epoch"] for answer in answers})
    assert len(epochs) >= 2
    for key in REGULARS:
        assert {1} == {len(versions) for versions in seen[key].values()}
        path = [version for epoch in sorted(seen[key]) for version in seen[key][epoch]]
        assert [] == [pair for pair in pairwise(path) if pair[1] < pair[0]]
    moved = {key for key in REGULARS if {2} in seen[key].values()}
    assert set() < moved < set(REGULARS)


def test_a_harmful_candidate_is_rolled_back_by_its_guardrail(serve: Start, tmp_path: Path) -> None:
    config = planned(tmp_path)
    server = serve(config)
    data = frame(seed=3)
    candidate(config, data.assign(outcome=1 - data["outcome"]))
    _, rollout = until_ended(server)
    assert ("rolled_back", 0) == (rollout["state"], rollout["step"])
    assert rollout["reason"].startswith("Rolled back by the guardrail wrong decisions")
    assert "EUR" in rollout["reason"]
    assert 1.0 == share(server, 1)
    settled(server, lambda versions: versions == {1})
    assert "act" == overview(server)["health"]


def test_a_candidate_that_raises_fails_nobody_and_is_rolled_back(
    serve: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importable(tmp_path / "code", "faulty_model", RAISING, monkeypatch)
    config = planned(tmp_path)
    config.write_text(config.read_text() + '\n[auth]\nallow_code = ["risk:2"]\n')
    with opened(config) as deployment:
        champion = deployment.version("risk", 1)
        deployment.registry.register("risk", "faulty_model:answer", signature=champion.signature)
    server = serve(config)
    with opened(config) as deployment:
        deployment.deploy_or_roll_out("risk", 2, actor="test", reason="second")
    answers, rollout = until_ended(server)
    assert {1} == {answer["version"] for answer in answers}
    assert {"champion", "candidate"} >= {answer["arm"] for answer in answers}
    assert "rolled_back" == rollout["state"]
    assert rollout["reason"].startswith("Rolled back by the guardrail candidate errors")
    with server.client as client:
        text = client.get("/metrics").text
    assert 'ml_candidate_failures_total{model="risk",model_version="2"}' in text


def test_a_rollback_under_load_switches_all_workers_and_fails_nobody(
    serve: Start, tmp_path: Path
) -> None:
    config = planned(tmp_path, workers=2)
    server = serve(config)
    candidate(config, frame(seed=3))
    with Load(server.url) as running:
        eventually(
            lambda: {answer["version"] for answer in list(running.acknowledged)},
            lambda versions: versions == {1, 2},
        )
        done = CliRunner().invoke(
            cli, ["rollback", "risk", "--reason", "drill", "--config", str(config), "--json"]
        )
        assert 0 == done.exit_code, done.output
        epoch = overview(server)["route"]["epoch"]
        eventually(lambda: epochs_of_workers(server), lambda seen: seen == {epoch})
        running.more(100)
    assert {200} == set(running.statuses)
    after = running.acknowledged[-50:]
    assert {(epoch, 1)} == {(answer["epoch"], answer["version"]) for answer in after}
    assert 1.0 == share(server, 1)


def epochs_of_workers(server: Running) -> set[int]:
    """The epoch that each worker says it serves."""
    with server.client as client:
        text = client.get("/metrics").text
    served = re.findall(r'^ml_control_epoch\{pid="(\d+)"\} (\S+)$', text, re.MULTILINE)
    watcher = {pid for pid, module in server.children().items() if "watcher" in module}
    return {int(float(epoch)) for pid, epoch in served if int(pid) not in watcher}
