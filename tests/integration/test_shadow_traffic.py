"""Shadow traffic over real state and a real journal: who is shown what, what is kept, what is dropped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.config import Config, JournalConfig, convert
from trimtab.record.journal import Journal
from trimtab.record.reader import SegmentReader
from trimtab.record.unfinished import Unfinished
from trimtab.rollout.split import slot, unit_hash
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import (
    PROCESS_EXIT,
    FeatureKind,
    FeatureSpec,
    PredictionRecord,
    RolloutPlan,
    Signature,
    Task,
)
from trimtab.wiring.crashes import CrashDesk, CrashNotes
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.shadowing import Shadowing

MODELS = """
import numpy as np

def champion(columns):
    return np.full(len(columns["amount"]), 0.25)

def candidate(columns):
    return columns["amount"] / 1000.0

def picky(columns):
    if (columns["amount"] == 13).any():
        raise ValueError("unlucky")
    return columns["amount"] / 1000.0
"""
SIGNATURE = Signature(
    features=(
        FeatureSpec(name="country", kind=FeatureKind.CATEGORICAL),
        FeatureSpec(name="amount", kind=FeatureKind.NUMERIC),
    ),
    task=Task.BINARY,
    labels=("good", "bad"),
)
PLAN = {
    "strategy": "shadow",
    "steps": [{"share": 0.3, "bake_seconds": 60}],
    "guardrails": [{"name": "errors", "event": "error"}],
}
UNITS = [f"user-{i}" for i in range(400)]


class Stage:
    """A deployment with a champion, a shadow, and a journal of what was answered."""

    def __init__(self, folder: Path, candidate: str) -> None:
        self.clock = FakeClock()
        config = {"state": {"dir": str(folder / "state")}, "auth": {"allow_code": ["risk"]}}
        self.deployment = Deployment.open(convert(config, Config), self.clock)
        for name, features in (("champion", (0, 1)), (candidate, (1,))):
            chosen = tuple(SIGNATURE.features[i] for i in features)
            signature = Signature(features=chosen, task=Task.BINARY, labels=SIGNATURE.labels)
            self.deployment.registry.register(
                "risk", f"shadowed_models:{name}", signature=signature
            )
        who: dict[str, Any] = {"actor": "ada", "reason": "because"}
        self.deployment.deploy("risk", 1, **who)
        plan = convert(PLAN, RolloutPlan)
        self.rollout = self.deployment.start_rollout("risk", 2, plan, **who)
        self.metrics = Metrics()
        self.folder = self.deployment.journal_dir
        self.journal = self.writer()
        self.shadowing = Shadowing(
            self.deployment,
            SegmentReader(self.folder, self.metrics),
            self.writer(),
            self.metrics,
            CrashNotes(self.deployment.run_dir),
        )
        self.shadowing.step()

    def writer(self) -> Journal:
        return Journal(self.folder, JournalConfig(), self.metrics, self.clock)

    def answer(self, **changes: Any) -> list[PredictionRecord]:
        """The champion's answers to all users, journalled."""
        records = [
            PredictionRecord(**{
                "prediction_id": f"p{i}", "request_id": None, "event_time": 1.0,
                "wall_time": self.clock.now(), "model": "risk", "version": 1, "digest": "sha256:1",
                "epoch": 2, "rollout": self.rollout.id, "arm": 0, "share": 0.0,
                "unit": unit_hash(key), "sticky": True, "values": ("nl", float(i)),
                "sources": "qr", "ages_seconds": (None, 3.0), "score": 0.25,
                "outputs": (0.75, 0.25), "positive": False, "latency_ms": 1.0, **changes,
            })
            for i, key in enumerate(UNITS)
        ]  # fmt: skip
        self.journal.append(records)
        return records

    def shadows(self) -> list[PredictionRecord]:
        while self.shadowing.step():
            pass
        return [r for r in SegmentReader(self.folder, Metrics()).records() if r.shadow]

    def exits(self) -> list[PredictionRecord]:
        found = SegmentReader(self.folder, Metrics()).records()
        return [record for record in found if record.failed == PROCESS_EXIT]

    def counted(self, name: str) -> float:
        found = self.metrics.registry.get_sample_value(
            name, {"model": "risk", "model_version": "2"}
        )
        return found or 0.0

    def close(self) -> None:
        self.journal.close()
        self.shadowing.writer.close()
        self.deployment.close()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Stage]]:
    (tmp_path / "shadowed_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[Stage] = []

    def make(candidate: str = "candidate") -> Stage:
        made.append(Stage(tmp_path / str(len(made)), candidate))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_the_table_says_which_units_are_shown_and_the_answers_are_the_candidates_own(
    stage: Callable[..., Stage],
) -> None:
    scene = stage()
    answered = scene.answer()
    with scene.deployment.state.reading() as state:
        route = state.control.route("risk")
    assert route is not None
    shown = [r for r in answered if route.slots[slot(route.salt, r.unit)] == 1]
    made = scene.shadows()
    assert 80 < len(shown) < 160
    assert [r.prediction_id for r in shown] == [r.prediction_id for r in made]
    for before, after in zip(shown, made, strict=True):
        amount = before.values[1]
        assert isinstance(amount, float)
        assert (2, 1, 0.3, before.unit) == (after.version, after.arm, after.share, after.unit)
        assert ((amount,), "r", (3.0,)) == (after.values, after.sources, after.ages_seconds)
        assert pytest.approx(amount / 1000) == after.score
        assert after.failed is None
    assert len(made) == scene.counted("ml_shadow_predictions_total")


def test_answers_of_other_rollouts_and_other_shadows_are_not_shown(
    stage: Callable[..., Stage],
) -> None:
    scene = stage()
    scene.answer(rollout=None)
    scene.answer(rollout="risk-0009")
    scene.answer(shadow=True, version=3)
    assert {3} == {record.version for record in scene.shadows()}


def test_a_candidate_that_raises_fails_only_where_it_raises(stage: Callable[..., Stage]) -> None:
    scene = stage("picky")
    scene.answer()
    made = scene.shadows()
    unlucky = [record for record in made if record.values == (13.0,)]
    failed = [record for record in made if record.failed is not None]
    assert unlucky == failed
    assert all(record.outputs == () and record.positive is None for record in failed)
    assert len(failed) == scene.counted("ml_candidate_failures_total")


def test_what_is_too_old_is_dropped_and_counted(stage: Callable[..., Stage]) -> None:
    scene = stage()
    scene.answer()
    scene.clock.advance(11.0)
    assert [] == scene.shadows()
    dropped = scene.counted("ml_shadow_dropped_total")
    assert 80 < dropped < 160
    scene.answer()
    assert dropped == len(scene.shadows())


def test_a_candidate_that_ended_processes_is_not_run_again(
    stage: Callable[..., Stage],
) -> None:
    scene = stage()
    notes = CrashNotes(scene.deployment.run_dir)
    desk = CrashDesk(scene.deployment.run_dir, scene.folder, JournalConfig(), scene.clock)
    (lost,) = [r for r in scene.answer() if r.prediction_id == "p7"]
    gone = msgspec.structs.replace(lost, version=2, arm=1, shadow=True, failed=PROCESS_EXIT)
    pid = 4_194_999
    for death in range(3):
        assert not notes.blocked("risk", 2)
        left = Unfinished(scene.deployment.run_dir / "executing" / str(pid))
        left.begin(gone)
        assert [gone] == desk.note(pid)
        assert [] == desk.note(pid)
        assert death + 1 == len(scene.exits())
    assert notes.blocked("risk", 2)
    assert not notes.blocked("risk", 1)
    made = [r for r in scene.shadows() if r.prediction_id != "p7"]
    assert {PROCESS_EXIT} == {record.failed for record in made}


def test_a_death_while_loading_blocks_at_once(stage: Callable[..., Stage]) -> None:
    scene = stage()
    notes = CrashNotes(scene.deployment.run_dir)
    with scene.deployment.state.reading() as state:
        route = state.control.route("risk")
    assert route is not None
    desk = CrashDesk(scene.deployment.run_dir, scene.folder, JournalConfig(), scene.clock)
    with notes.loading(route, 2):
        assert ["load/risk/2"] == [r.prediction_id for r in desk.note(os.getpid())]
    assert notes.blocked("risk", 2)
    assert [] == desk.note(os.getpid())
