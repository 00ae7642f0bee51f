"""A month scored as a batch job from the recorded features, against what was answered online."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.batch.job import run_job
from trimtab.batch.plan import BatchPlan
from trimtab.record.reader import SegmentReader
from trimtab.record.table import table
from trimtab.store.columnar import write_parquet
from trimtab.telemetry import Metrics
from trimtab.wiring.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Compared:
    """Rows scored, seconds taken, and the largest difference from the online scores."""

    rows: int
    seconds: float
    largest_difference: float


def compare(
    deployment: Deployment, model: str, folder: Path, span: tuple[float, float]
) -> Compared:
    """Score the champion's recorded rows of a span of event time again, as one batch job."""
    champion = deployment.version(model, "champion")
    records = (
        record
        for record in SegmentReader(deployment.journal_dir, Metrics()).records(*span, model)
        if record.version == champion.version and not record.failed
    )
    recorded = table(records, champion.signature)
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "rows.parquet"
    write_parquet(source, recorded.schema, recorded.to_batches())
    began = time.monotonic()
    manifest = run_job(
        deployment,
        BatchPlan(
            input=str(source),
            output=str(folder / "scores"),
            model=model,
            version=champion.version,
            event_time="_event_time",
            passthrough=("_score",),
        ),
    )
    seconds = time.monotonic() - began
    parts = [pq.read_table(folder / "scores" / part.file) for part in manifest.parts]
    scored = pa.concat_tables(parts)
    difference = np.abs(np.asarray(scored["score"]) - np.asarray(scored["_score"]))
    return Compared(manifest.rows, seconds, float(difference.max()))
