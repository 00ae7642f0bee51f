"""A batch process that is killed loses nothing that its manifest names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.batch.plan import read_manifest

PROGRAM = """
import sys
from trimtab.batch.local import LocalEngine
from trimtab.batch.plan import BatchPlan
from trimtab.types import (
    FeatureKind, FeatureSpec, PredictAnswer, Prediction, Signature, Task,
)

def score(rows):
    return PredictAnswer(model="m", epoch=1, predictions=tuple(
        Prediction(prediction_id=row.prediction_id, version=1, arm="champion",
                   score=row.features["x"], outputs=(0.0,), decision=0.0, sources="q")
        for row in rows))

signature = Signature(
    features=(FeatureSpec(name="x", kind=FeatureKind.NUMERIC),), task=Task.REGRESSION)
plan = BatchPlan(input=sys.argv[1], output=sys.argv[2], model="m", version=1, chunk_rows=50)
engine = LocalEngine(
    score, signature, progress=lambda done, rows: print(done, flush=True))
engine.run(plan)
"""


def run(source: Path, output: Path, kill_at: int | None) -> list[int]:
    """Rows done as the process told, killed when it told ``kill_at``."""
    told = []
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(source), str(output)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(int(line))
            if told[-1] == kill_at:
                os.kill(process.pid, signal.SIGKILL)
                break
    return told


def test_a_killed_job_goes_on_where_it_was_and_equals_one_go(tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"x": [float(i) for i in range(2_000)]}), source)
    assert run(source, tmp_path / "one_go", None)[-1] == 2_000
    assert run(source, tmp_path / "killed", 150)[0] == 0
    assert run(source, tmp_path / "killed", 900)[0] >= 150
    last = run(source, tmp_path / "killed", None)
    assert (last[0] >= 900, last[-1]) == (True, 2_000)
    expected, found = read_manifest(tmp_path / "one_go"), read_manifest(tmp_path / "killed")
    assert expected is not None
    assert found is not None
    assert (found.parts, found.state) == (expected.parts, "done")
