"""Retraining sets from what was recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import pyarrow as pa
import pytest

from trimtab.act.retraining import Outcomes, TrainerResult, train, training_table
from trimtab.errors import InvalidInput, InvalidPlan
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    PredictionRecord,
    Scalar,
    Signature,
    Task,
)

SIGNATURE = Signature(
    features=(
        FeatureSpec(name="distance", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="hour", kind=FeatureKind.INTEGER),
        FeatureSpec(name="holiday", kind=FeatureKind.BOOLEAN),
        FeatureSpec(name="origin", kind=FeatureKind.CATEGORICAL),
    ),
    task=Task.BINARY,
    labels=("on_time", "late"),
)
ROW: tuple[Scalar, ...] = (100, 7.0, True, "JFK")


def record(
    prediction_id: str, values: tuple[Scalar, ...] = ROW, version: int = 1, **changes: object
) -> PredictionRecord:
    made = PredictionRecord(
        prediction_id=prediction_id,
        request_id=None,
        event_time=5.0,
        wall_time=6.0,
        model="flights_late",
        version=version,
        digest="sha256:0",
        epoch=1,
        rollout=None,
        arm=0,
        share=0.0,
        unit="u",
        sticky=False,
        values=values,
        sources="qqrb"[: len(values)],
        ages_seconds=(None,) * len(values),
        score=0.5,
        outputs=(0.5, 0.5),
        positive=True,
        latency_ms=1.0,
    )
    return msgspec.structs.replace(made, **changes)


def known(**outcomes: float) -> Outcomes:
    def look_up(ids: Sequence[str]) -> Mapping[str, float]:
        return {name: outcomes[name] for name in ids if name in outcomes}

    return look_up


def test_the_order_of_reading_changes_nothing() -> None:
    records = [record("b"), record("c"), record("a"), record("d", event_time=4.0)]
    tables = [
        training_table(some, known(a=1.0, b=0.0, c=1.0, d=0.0), SIGNATURE)
        for some in (records, records[::-1])
    ]
    assert tables[0]["prediction_id"].to_pylist() == ["d", "a", "b", "c"]
    assert tables[0] == tables[1]


def test_a_row_is_what_the_model_saw_and_what_became_known() -> None:
    table = training_table([record("a"), record("b")], known(a=1.0, b=0.0), SIGNATURE)
    assert table.schema == pa.schema(
        [
            ("prediction_id", pa.string()),
            ("event_time", pa.float64()),
            ("distance", pa.float64()),
            ("hour", pa.int64()),
            ("holiday", pa.bool_()),
            ("origin", pa.string()),
            ("outcome", pa.int64()),
        ]
    )
    assert table.to_pylist()[0] == {
        "prediction_id": "a",
        "event_time": 5.0,
        "distance": 100.0,
        "hour": 7,
        "holiday": True,
        "origin": "JFK",
        "outcome": 1,
    }


def test_each_answered_prediction_with_an_outcome_comes_once() -> None:
    records = [record("a"), record("b"), record("a"), record("c", shadow=True), record("d")]
    table = training_table(records, known(a=1, c=1, d=0), SIGNATURE)
    assert table.column("prediction_id").to_pylist() == ["a", "d"]


def test_missing_values_stay_missing() -> None:
    row = record("a", (float("nan"), None, None, None))
    (found,) = training_table([row], known(a=1), SIGNATURE).to_pylist()
    assert [found[name] for name in SIGNATURE.names] == [None, None, None, None]


def test_nothing_learns_from_what_the_journal_was_not_given() -> None:
    records = [record("a"), record("b", (100, 7.0, True, None), withheld=(3,))]
    with pytest.raises(InvalidPlan, match="'origin' is withheld") as refused:
        training_table(records, known(a=1.0, b=0.0), SIGNATURE)
    assert "withheld_feature" == refused.value.code
    without = Signature(features=SIGNATURE.features[:3], task=Task.BINARY, labels=("a", "b"))
    made = training_table(records, known(a=1.0, b=0.0), without, versions={1: SIGNATURE})
    assert [100.0, 100.0] == made.column("distance").to_pylist()


def test_provenance_comes_in_columns_of_its_own() -> None:
    (found,) = training_table([record("a")], known(a=1), SIGNATURE, provenance=True).to_pylist()
    assert [found[f"source:{name}"] for name in SIGNATURE.names] == ["q", "q", "r", "b"]


def test_versions_with_other_features_are_brought_into_one_order() -> None:
    swapped = msgspec.structs.replace(
        SIGNATURE, features=(SIGNATURE.features[3], SIGNATURE.features[0])
    )
    records = [record("a"), record("b", ("LGA", 7.5), version=2), record("c", version=9)]
    table = training_table(
        records, known(a=1, b=0, c=0), SIGNATURE, versions={1: SIGNATURE, 2: swapped}
    )
    assert table.select(["prediction_id", "distance", "hour", "origin"]).to_pylist() == [
        {"prediction_id": "a", "distance": 100.0, "hour": 7, "origin": "JFK"},
        {"prediction_id": "b", "distance": 7.5, "hour": None, "origin": "LGA"},
    ]


def test_a_regressions_outcome_is_a_number() -> None:
    regression = msgspec.structs.replace(SIGNATURE, task=Task.REGRESSION, labels=())
    table = training_table([record("a")], known(a=1.5), regression)
    assert table.column("outcome").to_pylist() == [1.5]


def test_outcomes_are_looked_up_in_batches() -> None:
    asked: list[int] = []

    def look_up(ids: Sequence[str]) -> Mapping[str, float]:
        asked.append(len(ids))
        return dict.fromkeys(ids, 1.0)

    table = training_table((record(str(i)) for i in range(10_001)), look_up, SIGNATURE)
    assert (asked, table.num_rows) == ([10_000, 1], 10_001)


def test_nothing_recorded_is_an_empty_table() -> None:
    assert training_table([], known(), SIGNATURE).num_rows == 0


def test_a_feature_may_not_bear_the_outcomes_name() -> None:
    feature = FeatureSpec(name="outcome", kind=FeatureKind.NUMERIC)
    with pytest.raises(InvalidInput) as caught:
        training_table([], known(), msgspec.structs.replace(SIGNATURE, features=(feature,)))
    assert caught.value.code == "reserved_name"


def test_a_trainer_gives_a_model_with_or_without_metrics() -> None:
    table = training_table([record("a"), record("b")], known(a=1, b=0), SIGNATURE)
    assert train(lambda rows: rows.num_rows, table) == TrainerResult(model=2)
    found = train(lambda _: ("model", {"roc_auc": 0.7}), table)
    assert found == TrainerResult(model="model", metrics={"roc_auc": 0.7})


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [({}, "nothing_to_train_on"), ({"a": 1.0, "b": 1.0}, "one_class_only")],
)
def test_a_trainer_is_not_called_without_something_to_learn(
    outcomes: dict[str, float], code: str
) -> None:
    table = training_table([record("a"), record("b")], known(**outcomes), SIGNATURE)
    with pytest.raises(InvalidPlan) as caught:
        train(lambda _: "model", table)
    assert caught.value.code == code
