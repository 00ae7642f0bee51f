"""From the journal to an alert: values from fallbacks walk window → compare → judge → act."""

from __future__ import annotations

from pathlib import Path

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
from trimtab.wiring.overview import Health, overview
from trimtab.wiring.watching import Watching


@pytest.mark.parametrize(
    ("defaults", "said", "health"),
    [(0, State.STEADY, Health.HEALTHY), (40, State.DRIFTED, Health.ACT)],
)
def test_too_many_fallbacks_open_one_alert(
    tmp_path: Path, defaults: int, said: State, health: Health
) -> None:
    deployment, metrics = deployed(tmp_path, WatchConfig(), fallback_min_values=100), Metrics()
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
