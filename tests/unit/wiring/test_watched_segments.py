"""A version's traffic is watched whole and by segment, for drift and for faults, from one fold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trimtab.config import Config, JournalConfig, StateConfig, WatchConfig
from trimtab.drift.profile import build_profile
from trimtab.drift.segments import build_segments, dump_segments
from trimtab.record.journal import Journal
from trimtab.telemetry import Metrics
from trimtab.testing.fakes import FakeClock
from trimtab.types import (
    Alias,
    Columns,
    FeatureKind,
    FeatureSpec,
    PredictionRecord,
    Signature,
    Task,
    Verdict,
    Version,
)
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.references import SEGMENTS_DIGEST
from trimtab.wiring.watching import Watching

HOUR = 3_600.0
FEATURES = (
    FeatureSpec(name="country", kind=FeatureKind.CATEGORICAL),
    FeatureSpec(name="amount", kind=FeatureKind.NUMERIC),
)


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.choice(np.array(["de", "fr"], dtype=object), count), rng.lognormal(3, 1, count)


def deployed(folder: Path) -> Deployment:
    deployment = Deployment.open(
        Config(
            state=StateConfig(dir=str(folder)),
            watch=WatchConfig(window_seconds=HOUR, lateness_seconds=0.0),
        )
    )
    reference = Columns(features=FEATURES, arrays=rows(4_000, 1))
    file = folder / "made"
    file.write_bytes(build_profile(reference, scores=np.linspace(0, 1, 4_000)).dump())
    digest, size = deployment.blobs.put(file)
    file.write_bytes(dump_segments(build_segments(reference, "country", 5)))
    segments, _ = deployment.blobs.put(file)
    version = Version(
        model="m", version=1, digest=digest, format="callable", size_bytes=size,
        signature=Signature(features=FEATURES, task=Task.BINARY, labels=("no", "yes")),
        created_at=0.0, profile_digest=digest, lineage={SEGMENTS_DIGEST: segments},
    )  # fmt: skip
    with deployment.state.transaction() as state:
        state.registry.add_version(version)
        state.registry.set_alias(
            Alias(model="m", alias="champion", version=1, since=0.0, actor="", reason="")
        )
    return deployment


def recorded(deployment: Deployment, scale: float) -> None:
    """An hour of traffic in which the amounts of France alone are scaled."""
    countries, amounts = rows(2_000, 2)
    amounts = np.where(countries == "fr", amounts * scale, amounts)
    journal = Journal(deployment.journal_dir, JournalConfig(), Metrics(), FakeClock())
    moments = np.append(np.linspace(0, HOUR - 1, 1_999), 1.5 * HOUR)
    journal.append(
        [
            PredictionRecord(
                prediction_id=f"p{at}", request_id=None, event_time=float(moments[at]),
                wall_time=float(moments[at]), model="m", version=1, digest="sha256:0", epoch=1,
                rollout=None, arm=0, share=0.0, unit="u", sticky=True,
                values=(str(countries[at]), float(amounts[at])), sources="qq",
                ages_seconds=(None, None), score=at / 2_000, outputs=(0.5, 0.5), positive=True,
                latency_ms=1.0,
            )
            for at in range(2_000)
        ]
    )  # fmt: skip
    journal.close()


def verdicts(deployment: Deployment, metrics: Metrics) -> dict[str, Verdict]:
    watching = Watching.open(deployment, metrics)
    while watching.tick().records:
        pass
    with deployment.state.reading() as state:
        return {one.subject: one for one in state.watch.verdicts("m")}


def test_a_segment_is_compared_with_its_own_reference(tmp_path: Path) -> None:
    deployment, metrics = deployed(tmp_path), Metrics()
    recorded(deployment, 3.0)
    found = verdicts(deployment, metrics)
    assert {
        f"{subject}{segment}"
        for subject in ("data_drift", "data_quality", "prediction_drift")
        for segment in ("", "/country = de", "/country = fr")
    } == set(found)
    assert ("amount",) == found["data_drift/country = fr"].flagged
    assert "country = fr" == found["data_drift/country = fr"].segment
    assert () == found["data_drift/country = de"].flagged
    assert 1_999 == found["data_drift"].rows
    parts = [found[f"data_drift/country = {name}"].rows for name in ("de", "fr")]
    assert 1_999 == sum(parts)
    # Two segments: each needs twice the evidence.
    assert [2_000.0, 1_000.0] == [
        found[name].alarm_at for name in ("data_drift/country = de", "data_drift")
    ]
    shown = metrics.registry.get_sample_value(
        "ml_segment_score",
        {
            "model": "m", "model_version": "1", "subject": "data_drift",
            "segment": "country = fr",
        },
    )  # fmt: skip
    assert found["data_drift/country = fr"].score == shown
    deployment.close()
