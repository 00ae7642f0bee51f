"""Interleaving through the flow and the watcher's guardrails: one list, two rankers, and who won."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trimtab.config import Config, convert
from trimtab.rollout.guardrails import GuardrailWindows
from trimtab.telemetry import Metrics
from trimtab.testing import MemoryJournal
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    Matured,
    PredictAnswer,
    PredictRequest,
    RolloutPlan,
    RowRequest,
    Signature,
    Task,
)
from trimtab.watch import plain_facts
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import Serving

MODELS = """
import numpy as np

def ascending(columns):
    return columns["amount"] / 100.0

def descending(columns):
    return 1.0 - columns["amount"] / 100.0

def raising(columns):
    if columns["amount"].any():
        raise RuntimeError("broken")
    return columns["amount"]
"""
PLAN = {
    "strategy": "interleave",
    "steps": [{"share": 0.5, "bake_seconds": 60}],
    "guardrails": [
        {"name": "clicks", "event": "positive_outcome", "harm": "fewer"},
        {"name": "errors", "event": "error"},
    ],
}
WHO: dict[str, Any] = {"actor": "ada", "reason": "because"}


class Lists:
    """A deployment with two rankers, and the requests that it has answered."""

    def __init__(self, folder: Path, candidate: str) -> None:
        config = {"state": {"dir": str(folder)}, "auth": {"allow_code": ["rank"]}}
        self.deployment = Deployment.open(convert(config, Config))
        signature = Signature(
            features=(FeatureSpec(name="amount", kind=FeatureKind.NUMERIC),),
            task=Task.BINARY,
            labels=("skip", "click"),
        )
        for name in ("ascending", candidate):
            self.deployment.registry.register("rank", f"two_rankers:{name}", signature=signature)
        self.deployment.deploy("rank", 1, **WHO)
        plan = convert(PLAN, RolloutPlan)
        self.rollout = self.deployment.start_rollout("rank", 2, plan, **WHO)
        self.journal = MemoryJournal()
        self.serving = Serving.open(self.deployment, Metrics(), self.journal)
        self.serving.start()

    def ask(self, number: int, **changes: Any) -> PredictAnswer:
        rows = tuple(
            RowRequest(features={"amount": float(a)}, key="ada", prediction_id=f"{number}-{a}")
            for a in (10, 20, 30, 40)
        )
        request = PredictRequest(rows=rows, request_id=f"r{number}", **changes)
        return asyncio.run(self.serving.flow.predict("rank", request))

    def close(self) -> None:
        asyncio.run(self.serving.close())
        self.deployment.close()


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Lists]]:
    (tmp_path / "two_rankers.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[Lists] = []

    def make(candidate: str) -> Lists:
        made.append(Lists(tmp_path / f"state-{len(made)}", candidate))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_half_of_the_requests_are_drafted_and_each_row_says_who_picked_it(
    lists: Callable[[str], Lists],
) -> None:
    scene = lists("descending")
    found = [scene.ask(number) for number in range(60)]
    drafted = [a for a in found if a.predictions[0].rank is not None]
    assert 15 < len(drafted) < 45
    for answer in drafted:
        assert [1, 2, 3, 4] == sorted(p.rank or 0 for p in answer.predictions)
        assert [1, 1, 2, 2] == sorted(p.version for p in answer.predictions)
    plain = [a for a in found if a.predictions[0].rank is None]
    assert {1} == {p.version for a in plain for p in a.predictions}
    by_request: dict[str, set[tuple[str, float]]] = {}
    for record in scene.journal.records:
        by_request.setdefault(str(record.request_id), set()).add((record.unit, record.share))
    shares = [{share for _, share in units} for units in by_request.values()]
    assert [{0.0}, {0.5}] == sorted({frozenset(each) for each in shares}, key=min)
    units = [units for units in by_request.values() if (min(units)[1], len(units)) == (0.5, 1)]
    assert len(drafted) == len(units)
    assert 60 * 4 == len(scene.journal.records)


def test_the_team_of_the_first_click_wins_the_ranking(lists: Callable[[str], Lists]) -> None:
    scene = lists("descending")
    for number in range(300):
        scene.ask(number)
    windows = GuardrailWindows(scene.rollout)
    records = scene.journal.records
    clicked = [
        Matured(facts=plain_facts(r), value=float(r.values == (40.0,)), outcome_time=0.0)
        for r in records
    ]
    with scene.deployment.state.transaction() as state:
        (window,) = windows.fold(records, clicked, state)
    clicks, errors = window.content.readings
    control, candidate = clicks.events
    drafted = {r.unit for r in records if r.share == 0.5}
    assert len(drafted) == control + candidate
    assert control > 0.9 * len(drafted)
    assert clicks.e_peak > clicks.limit
    assert (0, 0) == errors.events
    assert 1.0 == window.content.split.e_value


def test_a_candidate_that_fails_leaves_the_champions_ranking(lists: Callable[[str], Lists]) -> None:
    scene = lists("raising")
    found = [scene.ask(number) for number in range(40)]
    assert {1} == {p.version for a in found for p in a.predictions}
    drafted = [a for a in found if a.predictions[0].rank is not None]
    assert {(4, 3, 2, 1)} == {tuple(p.rank or 0 for p in a.predictions) for a in drafted}
    failed = [r for r in scene.journal.records if r.failed]
    assert (4 * len(drafted), {"model_raised"}) == (len(failed), {r.failed for r in failed})
    with scene.deployment.state.transaction() as state:
        (window,) = GuardrailWindows(scene.rollout).fold(scene.journal.records, [], state)
    assert (0, len(drafted)) == window.content.readings[1].events


def test_a_pinned_request_is_not_drafted(lists: Callable[[str], Lists]) -> None:
    scene = lists("descending")
    for number in range(10):
        assert {(2, None)} == {
            (p.version, p.rank) for p in scene.ask(number, version=2).predictions
        }
