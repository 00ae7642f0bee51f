"""In mode durable each reply waits for the disk, and requests that wait together share a sync."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression

from trimtab.config import load
from trimtab.record.reader import SegmentReader
from trimtab.telemetry import Metrics
from trimtab.types import PredictAnswer, PredictRequest, RowRequest, Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register
from trimtab.wiring.serving import Serving

REQUESTS = 40


def deployed(folder: Path) -> Deployment:
    overrides = {"state.dir": str(folder), "journal.mode": "durable"}
    deployment = Deployment.open(load(None, environ={}, overrides=overrides))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=200), rng.integers(0, 2, 200)
    training = Training(reference=pa.table({"x": x, "y": y}), outcome="y", task=Task.BINARY)
    register(deployment, "m", LogisticRegression().fit(x[:, None], y), training, author="test")
    deployment.deploy("m", 1, actor="test", reason="first")
    return deployment


async def test_requests_of_one_and_of_many_rows_are_on_disk_when_they_are_answered(
    tmp_path: Path,
) -> None:
    deployment, metrics = deployed(tmp_path), Metrics()
    serving = Serving.open(deployment, metrics)
    serving.start()

    def asked(rows: int) -> PredictRequest:
        return PredictRequest(rows=tuple(RowRequest(features={"x": 0.5 * n}) for n in range(rows)))

    answers: list[PredictAnswer] = await asyncio.gather(
        *(serving.flow.predict("m", asked(1 + n % 3)) for n in range(REQUESTS))
    )
    told = {one.prediction_id for answer in answers for one in answer.predictions}
    records = SegmentReader(deployment.journal_dir, Metrics()).records()
    assert told == {record.prediction_id for record in records}
    sample = metrics.registry.get_sample_value
    assert sample("ml_journal_loss_bound_seconds") == 0.0
    assert (sample("ml_journal_lag_seconds") or 0.0) > 0.0
    await serving.close()
    deployment.close()
