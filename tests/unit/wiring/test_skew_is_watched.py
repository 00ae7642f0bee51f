"""From the journal to an alert: skew walks window → compare → judge → act like every other subject."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace
from tests.unit.wiring.weather import RECORD, deployed

from trimtab.config import (
    JournalConfig,
    WatchConfig,
)
from trimtab.record.journal import Journal
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import (
    State,
)
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.overview import overview
from trimtab.wiring.watching import Watching

HOUR = 3_600.0


def watched(folder: Path) -> Deployment:
    times = [window * HOUR + second for window in range(5) for second in range(200)]
    history = pa.table({"origin": ["JFK"] * 1_000, "event_time": times, "wind": [2.0] * 1_000})
    pq.write_table(history, folder / "history.parquet")
    return deployed(
        folder,
        WatchConfig(window_seconds=HOUR, min_rows=50),
        history=str(folder / "history.parquet"),
        skew_delay_seconds=0.0,
    )


@pytest.mark.parametrize(
    ("wrong", "said", "alerts"), [(0, State.STEADY, 0), (40, State.DRIFTED, 1)]
)
def test_what_was_served_unlike_its_history_alarms_once(
    tmp_path: Path, wrong: int, said: State, alerts: int
) -> None:
    deployment, metrics = watched(tmp_path), Metrics()
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
