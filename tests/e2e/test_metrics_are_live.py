"""Every metric that is documented says something after the traffic, or the faults, that it tells of."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from tests.e2e.clients import Traffic, eventually
from tests.e2e.conftest import Running, Start, frame
from tests.e2e.test_canary import candidate, planned

ROOT = Path(__file__).parents[2]
DOCUMENTED = frozenset(
    re.findall(r"^\| `(ml_\w+)`", (ROOT / "docs/reference/metrics.md").read_text(), re.MULTILINE)
)
SETTINGS = """
[journal]
segment_bytes = 20_000
compact_after_seconds = 0
retain_bytes = 40_000

[watch]
poll_ms = 20
batch_rows = 60
window_seconds = 3600
lateness_seconds = 60
outcome_delay_seconds = 3600
"""
FAULTS = {
    "ml_watch_lag_records": "unit/wiring/test_upkeep.py",
    "ml_batch_rows": "e2e/test_requests_scored_together.py",
    "ml_requests_in_flight": "unit/serve/test_overload.py",
    "ml_requests_shed_total": "unit/serve/test_line.py",
    "ml_connections_cut_total": "unit/serve/test_connections.py",
    "ml_shadow_predictions_total": "integration/test_shadow_traffic.py",
    "ml_shadow_dropped_total": "integration/test_shadow_traffic.py",
    "ml_candidate_failures_total": "integration/test_shadow_traffic.py",
    "ml_compact_refused_total": "integration/test_compiled_forms.py",
    "ml_segment_score": "unit/wiring/test_watched_segments.py",
    "ml_feature_skew_ratio": "unit/wiring/test_skew_is_watched.py",
    "ml_feature_source_total": "e2e/test_features_over_http.py",
    "ml_feature_fallback_ratio": "unit/wiring/test_fallbacks_are_watched.py",
    "ml_feature_age_seconds": "unit/features/test_guard.py",
    "ml_feature_deadline_misses_total": "unit/features/test_resolver.py",
    "ml_feature_hedges_total": "unit/features/test_guard.py",
    "ml_feature_reads_shared_total": "unit/features/test_guard.py",
    "ml_feature_cache_total": "unit/features/test_guard.py",
    "ml_feature_store_failures_total": "unit/features/test_breaker.py",
    "ml_feature_refused_total": "unit/features/test_resolver.py",
    "ml_feature_rows_written_total": "integration/test_push_over_http.py",
    "ml_feature_reads_abandoned": "unit/features/test_threads.py",
    "ml_feature_breaker_open": "integration/test_features_when_redis_fails.py",
    "ml_prediction_log_dropped_total": "integration/test_journal_survives.py",
    "ml_journal_failing": "e2e/test_full_disk_is_told.py",
    "ml_journal_damaged_bytes_total": "unit/record/test_reader.py",
    "ml_journal_unsampled_total": "unit/record/test_modes.py",
    "ml_journal_upkeep_failures_total": "unit/wiring/test_upkeep.py",
    "ml_alert_failures_total": "unit/act/test_alerts.py",
    "ml_worker_restarts_total": "e2e/test_kill_worker_loses_nothing.py",
}
"""What tells of a fault, of a feature store or of what this model has not, and the test that brings it about."""


def told(server: Running) -> dict[str, list[float]]:
    """Every value of each metric; of a histogram its counts."""
    found: dict[str, list[float]] = defaultdict(list)
    with server.client as client:
        for line in client.get("/metrics").text.splitlines():
            if line.startswith("ml_"):
                name = re.split(r"[{ ]", line, maxsplit=1)[0].removesuffix("_count")
                found[name].append(float(line.rsplit(" ", 1)[1]))
    return found


def live(server: Running) -> set[str]:
    return {name for name, values in told(server).items() if any(values)} & DOCUMENTED


def worked(server: Running, config: Path) -> set[str]:
    """Hours of traffic with outcomes, a candidate, drift, a prediction sent twice, and a request refused."""
    seen: set[str] = set()
    traffic = Traffic(server, now=1.7e9 // 3600 * 3600)
    keys = [f"user-{i}" for i in range(100)]
    for hour in range(2):
        traffic.send(frame(100, seed=40 + hour), keys, seconds=3600.0)
    seen |= live(server)
    data = frame(2_000, seed=7)
    candidate(config, data)
    for hour in range(3):
        drifted = frame(100, seed=50 + hour)
        drifted["amount"] = drifted["amount"] * 8
        traffic.send(drifted, keys, seconds=3600.0)
        seen |= live(server)
    with server.client as client:
        row = {"features": {"amount": 1.0, "visits": 1, "country": "nl"}, "prediction_id": "mine"}
        for _ in range(2):
            assert 200 == client.post("/models/risk/predict", json=row).status_code
        assert 404 == client.get("/nowhere").status_code
        eventually(lambda: told(server)["ml_watch_repeats_total"], any)
    return seen


def test_every_metric_is_live(serve: Start, tmp_path: Path) -> None:
    config = planned(tmp_path)
    text = config.read_text().partition("[watch]")
    plan = text[2].partition("[models.risk.rollout]")
    config.write_text(text[0] + SETTINGS + "\n" + plan[1] + plan[2])
    server = serve(config)
    seen = worked(server, config)
    wanted = DOCUMENTED - set(FAULTS)
    eventually(lambda: wanted - (seen | live(server)), lambda missing: missing == set())
    counts = told(server)
    assert counts["ml_request_stage_seconds"] == 4 * counts["ml_prediction_duration_seconds"]


def test_what_tells_of_faults_is_asserted_where_they_are_brought_about() -> None:
    assert set() == set(FAULTS) - DOCUMENTED
    for name, path in FAULTS.items():
        assert name in (ROOT / "tests" / path).read_text(), path
