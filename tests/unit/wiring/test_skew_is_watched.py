"""From the journal to an alert: skew walks window → compare → judge → act like every other subject."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
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
    WatchConfig,
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
from trimtab.wiring.overview import overview
from trimtab.wiring.watching import Watching

HOUR = 3_600.0
RECORD = PredictionRecord(
    prediction_id="", request_id=None, event_time=0.0, wall_time=0.0, model="late", version=1,
    digest="", epoch=0, rollout=None, arm=0, share=0.0, unit="", sticky=False, values=(2.0,),
    sources="r", ages_seconds=(0.0,), score=0.5, outputs=(0.5, 0.5), positive=True, latency_ms=1.0,
    entities={"origin": "JFK"},
)  # fmt: skip


def deployed(folder: Path) -> Deployment:
    times = [window * HOUR + second for window in range(5) for second in range(200)]
    history = pa.table({"origin": ["JFK"] * 1_000, "event_time": times, "wind": [2.0] * 1_000})
    pq.write_table(history, folder / "history.parquet")
    view = ViewConfig(
        entity="origin",
        realtime="online",
        features=(ViewFeature(name="wind"),),
        history=str(folder / "history.parquet"),
    )
    deployment = Deployment.open(
        Config(
            state=StateConfig(dir=str(folder / "state")),
            watch=WatchConfig(window_seconds=HOUR, min_rows=50),
            features=FeaturesConfig(
                stores={"online": StoreConfig(kind="memory")},
                views={"weather": view},
                skew_delay_seconds=0.0,
            ),
        )
    )
    version = Version(
        model="late", version=1, digest="sha256:0", format="onnx", size_bytes=1, created_at=0.0,
        signature=Signature(
            features=(FeatureSpec(name="wind", kind=FeatureKind.NUMERIC),), task=Task.BINARY,
            labels=("0", "1"),
        ),
        views=("weather",),
    )  # fmt: skip
    arms = (Arm(name="champion", version=1, share=1.0),)
    with deployment.state.transaction() as state:
        state.registry.add_version(version)
        state.control.put_route(
            Route(model="late", epoch=0, arms=arms, slots=bytes(10_000), salt="s")
        )
    return deployment


@pytest.mark.parametrize(
    ("wrong", "said", "alerts"), [(0, State.STEADY, 0), (40, State.DRIFTED, 1)]
)
def test_what_was_served_unlike_its_history_alarms_once(
    tmp_path: Path, wrong: int, said: State, alerts: int
) -> None:
    deployment, metrics = deployed(tmp_path), Metrics()
    journal = Journal(deployment.journal_dir, JournalConfig(), metrics, FakeClock())
    watching = Watching.open(deployment, metrics)
    for window in range(4):
        records = [
            replace(
                RECORD,
                prediction_id=f"{window}-{second}",
                event_time=window * HOUR + second,
                wall_time=window * HOUR + second,
                values=(7.0 if second < wrong else 2.0,),
            )
            for second in range(200)
        ]
        journal.append(records)
        watching.tick()
    with deployment.state.reading() as state:
        before = overview(state, "late", verdict_limit=10).latest("feature_skew")
    assert before is None or before.end < 3 * HOUR
    watching.tick()  # what had waited is compared first, outside of the transaction
    journal.close()
    with deployment.state.reading() as state:
        found = overview(state, "late", verdict_limit=10)
        opened = state.alerts.alerts("late")
    verdict = found.latest("feature_skew")
    assert verdict is not None
    assert (verdict.state, verdict.end) == (said, 3 * HOUR)
    assert len([alert for alert, _, _ in opened if "feature skew" in alert.title]) == alerts
    labels = {"model": "late", "model_version": "1", "feature": "wind"}
    ratio = metrics.registry.get_sample_value("ml_feature_skew_ratio", labels)
    assert ratio == wrong / 200
    deployment.close()
