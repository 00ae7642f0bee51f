"""Law of batch engines: a job that is stopped anywhere and run again equals one go, byte for byte."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.batch.local import LocalEngine
from trimtab.batch.plan import BatchPlan
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    PredictAnswer,
    Prediction,
    RowRequest,
    Signature,
    Task,
)

SIGNATURE = Signature(
    features=(FeatureSpec(name="distance", kind=FeatureKind.NUMERIC),), task=Task.REGRESSION
)


class Stopped(BaseException):
    """The process is gone."""


class Scorer:
    """Answers rows; after ``calls`` calls the process is gone."""

    def __init__(self, calls: int) -> None:
        self._calls = calls

    def __call__(self, rows: Sequence[RowRequest]) -> PredictAnswer:
        if self._calls == 0:
            raise Stopped
        self._calls -= 1
        return PredictAnswer(
            model="m",
            epoch=1,
            predictions=tuple(
                Prediction(
                    prediction_id=row.prediction_id or "",
                    version=1,
                    arm="champion",
                    score=float(row.features["distance"] or 0) * 3,
                    outputs=(1.0,),
                    decision=1.0,
                    sources="q",
                )
                for row in rows
            ),
        )


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 40),
    chunk_rows=st.integers(1, 12),
    groups=st.integers(1, 15),
    stops=st.lists(st.integers(0, 5), max_size=3),
    torn=st.booleans(),
)
def test_a_job_stopped_anywhere_equals_one_go(
    *, rows: int, chunk_rows: int, groups: int, stops: list[int], torn: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        table = pa.table({"distance": [float(i) for i in range(rows)]})
        pq.write_table(table, here / "in.parquet", row_group_size=groups)
        plan = BatchPlan(
            input=str(here / "in.parquet"),
            output=str(here / "out"),
            model="m",
            version=1,
            chunk_rows=chunk_rows,
        )
        LocalEngine(Scorer(calls=-1), SIGNATURE).run(plan)
        expected = contents(here / "out")
        (here / "out").rename(here / "one_go")
        for calls in stops:
            try:
                LocalEngine(Scorer(calls), SIGNATURE).run(plan)
            except Stopped:
                if torn:
                    for leftover in (".part-00001.parquet.tmp", "part-00004.parquet"):
                        (here / "out" / leftover).write_bytes(b"PAR1")
        LocalEngine(Scorer(calls=-1), SIGNATURE).run(plan)
        found = contents(here / "out")
        assert {n: b for n, b in found.items() if n in expected} == expected
