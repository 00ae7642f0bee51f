from __future__ import annotations

from collections.abc import Callable

import pytest

from trimtab.errors import NotFound
from trimtab.record.table import CHUNK_ROWS, joint_batches, table
from trimtab.types import FeatureKind, FeatureSpec, PredictionRecord, Signature, Task

SIGNATURE = Signature(
    features=(
        FeatureSpec(name="score", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="seats", kind=FeatureKind.INTEGER),
        FeatureSpec(name="holiday", kind=FeatureKind.BOOLEAN),
        FeatureSpec(name="model", kind=FeatureKind.CATEGORICAL),
    ),
    task=Task.BINARY,
)
Make = Callable[..., PredictionRecord]


def test_a_record_becomes_a_row_and_names_never_collide(make_record: Make) -> None:
    rows = table([make_record(5)], SIGNATURE).to_pylist()
    assert rows == [
        {
            "_prediction_id": f"{5:032x}",
            "_request_id": None,
            "_event_time": 5.0,
            "_wall_time": 5.0,
            "_model": "flights",
            "_version": 1,
            "_digest": "sha256:00",
            "_epoch": 1,
            "_rollout": None,
            "_arm": 0,
            "_share": 0.0,
            "_unit": "",
            "_sticky": True,
            "_sources": "qqqq",
            "_ages_seconds": [None, None, None, None],
            "_score": 0.25,
            "_outputs": [0.75, 0.25],
            "_positive": False,
            "_latency_ms": 1.0,
            "_failed": None,
            "_shadow": False,
            "_entities": [],
            "_shares": [],
            "_withheld": [],
            "_answered": None,
            "score": 1.5,
            "seats": 3,
            "holiday": True,
            "model": "AA",
        }
    ]


def test_missing_values_are_null(make_record: Make) -> None:
    made = table([make_record(0, values=(None, None, None, None))], SIGNATURE)
    assert made.select(SIGNATURE.names).to_pylist() == [dict.fromkeys(SIGNATURE.names)]


def test_no_records_make_an_empty_table_of_the_same_schema(make_record: Make) -> None:
    empty = table([], SIGNATURE)
    assert empty.num_rows == 0
    assert empty.schema == table([make_record(0)], SIGNATURE).schema


def test_more_records_than_a_chunk_are_all_there(make_record: Make) -> None:
    one = make_record(0)
    assert table((one for _ in range(CHUNK_ROWS + 1)), SIGNATURE).num_rows == CHUNK_ROWS + 1


def test_versions_that_disagree_share_a_table(make_record: Make) -> None:
    def signature(kind: FeatureKind) -> Signature:
        return Signature(features=(FeatureSpec(name="x", kind=kind),), task=Task.BINARY)

    records = [make_record(1, values=(3,)), make_record(2, version=2, values=(True,))]
    versions = {1: signature(FeatureKind.INTEGER), 2: signature(FeatureKind.NUMERIC)}
    (numbers,) = joint_batches(records[:1], versions)
    assert numbers["x"].to_pylist() == [3.0]
    versions[2] = signature(FeatureKind.BOOLEAN)
    (texts,) = joint_batches(records, versions)
    assert texts["x"].to_pylist() == ["3", "True"]
    with pytest.raises(NotFound) as unknown:
        list(joint_batches([make_record(0, version=9)], versions))
    assert unknown.value.code == "version_not_registered"


def test_a_record_without_values_has_nulls(make_record: Make) -> None:
    lost = make_record(0, values=(), sources="", ages_seconds=())
    (batch,) = joint_batches([lost], {1: SIGNATURE})
    (row,) = batch.to_pylist()
    assert [None] * 4 == [row[spec.name] for spec in SIGNATURE.features]
