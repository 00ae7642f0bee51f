"""From the journal to an alert: values from fallbacks walk window → compare → judge → act."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from trimtab.config import (
    Config,
    FeaturesConfig,
    JournalConfig,
    StateConfig,
    StoreConfig,
    ViewConfig,
    ViewFeature,
)
from trimtab.record.journal import Journal
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import (
    Arm,
    FeatureKind,
    FeatureSpec,
    PredictionRecord,
    Route,
    Signature,
    State,
    Task,
    Version,
)
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.overview import Health, overview
from trimtab.wiring.watching import Watching

RECORD = PredictionRecord(
    prediction_id="", request_id=None, event_time=0.0, wall_time=0.0, model="late", version=1,
    digest="", epoch=0, rollout=None, arm=0, share=0.0, unit="", sticky=False, values=(2.0,),
    sources="r", ages_seconds=(0.0,), score=0.5, outputs=(0.5, 0.5), positive=True, latency_ms=1.0,
    entities={"origin": "JFK"},
)  # fmt: skip
VERSION = Version(
    model="late", version=1, digest="sha256:0", format="onnx", size_bytes=1, created_at=0.0,
    signature=Signature(
        features=(FeatureSpec(name="wind", kind=FeatureKind.NUMERIC),), task=Task.BINARY,
        labels=("0", "1"),
    ),
    views=("weather",),
)  # fmt: skip


def deployed(folder: Path) -> Deployment:
    view = ViewConfig(entity="origin", realtime="online", features=(ViewFeature(name="wind"),))
    features = FeaturesConfig(
        stores={"online": StoreConfig(kind="memory")},
        views={"weather": view},
        fallback_min_values=100,
    )
    deployment = Deployment.open(
        Config(state=StateConfig(dir=str(folder / "state")), features=features)
    )
    arms = (Arm(name="champion", version=1, share=1.0),)
    with deployment.state.transaction() as state:
        state.registry.add_version(VERSION)
        state.control.put_route(
            Route(model="late", epoch=0, arms=arms, slots=bytes(10_000), salt="s")
        )
    return deployment


@pytest.mark.parametrize(
    ("defaults", "said", "health"),
    [(0, State.STEADY, Health.HEALTHY), (40, State.DRIFTED, Health.ACT)],
)
def test_too_many_fallbacks_open_one_alert(
    tmp_path: Path, defaults: int, said: State, health: Health
) -> None:
    deployment, metrics = deployed(tmp_path), Metrics()
    journal = Journal(deployment.journal_dir, JournalConfig(), metrics, FakeClock())
    watching = Watching.open(deployment, metrics)
    for window in range(4):
        times = [window * 300.0 + second for second in range(200)]
        journal.append(
            [
                replace(
                    RECORD, prediction_id=f"p{at}", event_time=at, wall_time=at,
                    sources="d" if number < defaults else "r",
                )
                for number, at in enumerate(times)
            ]
        )  # fmt: skip
        watching.tick()
    journal.close()
    with deployment.state.reading() as state:
        found = overview(state, "late", verdict_limit=10)
        opened = state.alerts.alerts("late")
    verdict = found.latest("feature_fallback")
    assert verdict is not None
    assert (verdict.state, verdict.end) == (said, 900.0)
    assert found.health is health
    assert len(opened) == (1 if defaults else 0)
    labels = {"model": "late", "model_version": "1"}
    ratio = metrics.registry.get_sample_value("ml_feature_fallback_ratio", labels)
    assert ratio == defaults / 200
    deployment.close()
