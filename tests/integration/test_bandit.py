"""A bandit through the flow and real state: outcomes move the traffic, and every answer says what it was."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.config import Config, convert
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, MemoryJournal
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    OutcomeRecord,
    PredictRequest,
    RolloutPlan,
    RowRequest,
    Signature,
    Task,
)
from trimtab.watch import WatchFlow
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import Serving
from trimtab.wiring.watching import SubjectBook

MODELS = """
import numpy as np

def one(columns):
    return np.full(len(columns["amount"]), 0.25)

def two(columns):
    return np.full(len(columns["amount"]), 0.75)
"""
PLAN = {
    "strategy": "bandit",
    "steps": [{"share": 0.5, "bake_seconds": 60}],
    "explore": 0.02,
    "guardrails": [{"name": "errors", "event": "error"}],
}
WHO: dict[str, Any] = {"actor": "ada", "reason": "because"}


class Tail:
    """Reads what a journal in memory has got."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal

    def read(self, offsets: Any, limit: int) -> Any:
        start = offsets.get("a", 0)
        found = self._journal.records[start : start + limit]
        return found, {"a": start + len(found)}


def test_outcomes_move_the_traffic_and_every_answer_says_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bandit_arms.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    clock = FakeClock()
    config = {"state": {"dir": str(tmp_path / "state")}, "auth": {"allow_code": ["offer"]}}
    deployment = Deployment.open(convert(config, Config), clock)
    signature = Signature(
        features=(FeatureSpec(name="amount", kind=FeatureKind.NUMERIC),),
        task=Task.BINARY,
        labels=("no", "yes"),
    )
    for name in ("one", "two"):
        deployment.registry.register("offer", f"bandit_arms:{name}", signature=signature)
    deployment.deploy("offer", 1, **WHO)
    deployment.start_rollout("offer", 2, convert(PLAN, RolloutPlan), **WHO)
    journal = MemoryJournal()
    serving = Serving.open(deployment, Metrics(), journal)
    serving.start()
    watch = WatchFlow(
        state=deployment.state,
        journal=Tail(journal),
        subjects=SubjectBook(deployment),
        notify=lambda *_: None,
        batch_rows=10_000,
    )

    def play() -> Counter[int]:
        before = len(journal.records)
        for _ in range(200):
            row = RowRequest(features={"amount": 1.0}, key="ada")
            request = PredictRequest(rows=(row,))
            answer = asyncio.run(serving.flow.predict("offer", request))
            assert b'"sticky":false' in msgspec.json.encode(answer)
        new = journal.records[before:]
        told = [
            OutcomeRecord(
                model="offer",
                prediction_id=r.prediction_id,
                value=float(r.version == 2),
                event_time=clock.now(),
                received_at=clock.now(),
            )
            for r in new
        ]
        with deployment.state.transaction() as state:
            state.outcomes.add(told)
        clock.advance(61.0)
        watch.tick()
        with deployment.state.reading() as state:
            deployment.epoch.publish(state.control.epoch())
        return Counter(record.version for record in new)

    first, _, last = (play()[2] for _ in range(3))
    assert 60 < first < 140
    assert last > 180
    assert {(0.5, False), (0.98, False)} == {(r.share, r.sticky) for r in journal.records}
    assert 600 == len({record.unit for record in journal.records})
    with deployment.state.reading() as state:
        assert "shift" == state.audit.entries("offer")[-1].action
        route = state.control.route("offer")
    assert route is not None
    assert ("bandit", 0.98) == (route.strategy, route.arms[1].share)
    asyncio.run(serving.close())
    deployment.close()
