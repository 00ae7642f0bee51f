"""Receiving outcomes: values, receipts, ids that prove themselves and ids that do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from trimtab.errors import InvalidRequest, NotFound
from trimtab.outcomes import OutcomeDesk, OutcomeValue, outcome_numbers
from trimtab.protocols import StateStore
from trimtab.store.state import open_state
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    PredictionFacts,
    Signature,
    Task,
    Version,
)

FEATURES = (FeatureSpec(name="distance", kind=FeatureKind.NUMERIC),)
BINARY = Signature(features=FEATURES, task=Task.BINARY, labels=("on_time", "late"))
VERSION = Version(
    model="flights_late",
    version=1,
    digest="sha256:0",
    format="none",
    size_bytes=0,
    signature=BINARY,
    created_at=0.0,
)
ISSUED = "1" * 32
ALIEN = "2" * 32


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    with state.transaction() as tx:
        tx.registry.add_version(VERSION)
    yield state
    state.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def desk(store: StateStore, metrics: Metrics) -> OutcomeDesk:
    return OutcomeDesk(store, lambda name: name == ISSUED, FakeClock(1_000.0), metrics)


def facts(prediction_id: str) -> PredictionFacts:
    return PredictionFacts(
        prediction_id=prediction_id,
        model="flights_late",
        version=1,
        rollout=None,
        arm=0,
        share=0.0,
        unit="u",
        event_time=1.0,
        score=0.7,
        positive=True,
    )


def statuses(desk: OutcomeDesk, *sent: tuple[str, OutcomeValue, float | None]) -> list[str]:
    return [receipt.status for receipt in desk.receive("flights_late", sent)]


def test_outcomes_are_recorded_once_and_corrected_when_they_change(desk: OutcomeDesk) -> None:
    sent: list[tuple[str, OutcomeValue, float | None]] = [
        (ISSUED, 1.0, 10.0),
        (ISSUED, True, 11.0),
        (ISSUED, 0.0, 12.0),
        (ISSUED, "late", 13.0),
    ]
    assert statuses(desk, *sent) == ["recorded", "duplicate", "corrected", "corrected"]
    assert statuses(desk, (ISSUED, 1.0, 14.0)) == ["duplicate"]


def test_what_is_kept_is_the_value_as_a_number_and_both_times(
    desk: OutcomeDesk, store: StateStore
) -> None:
    desk.receive("flights_late", [(ISSUED, "late", 10.0)])
    with store.transaction() as tx:
        tx.outcomes.index([facts(ISSUED)])
        (matured,) = tx.outcomes.take_matured(10)
    assert (matured.value, matured.outcome_time) == (1.0, 10.0)


def test_an_outcome_without_an_event_time_happened_now(
    desk: OutcomeDesk, store: StateStore
) -> None:
    desk.receive("flights_late", [(ISSUED, 1, None)])
    with store.transaction() as tx:
        tx.outcomes.index([facts(ISSUED)])
        (matured,) = tx.outcomes.take_matured(10)
    assert matured.outcome_time == 1_000.0


def test_an_id_that_looks_issued_and_was_not_is_unknown_and_not_kept(
    desk: OutcomeDesk, store: StateStore
) -> None:
    (receipt,) = desk.receive("flights_late", [(ALIEN, 1.0, None)])
    assert (receipt.status, receipt.message) == ("unknown", f"No prediction has the id {ALIEN!r}.")
    assert receipt.hint != ""
    with store.reading() as tx:
        assert tx.outcomes.values("flights_late", [ALIEN]) == {}


def test_an_id_of_a_known_prediction_is_taken_whatever_it_looks_like(
    desk: OutcomeDesk, store: StateStore
) -> None:
    with store.transaction() as tx:
        tx.outcomes.index([facts(ALIEN)])
    assert statuses(desk, (ALIEN, 1.0, None)) == ["recorded"]


def test_a_clients_own_id_waits_for_its_prediction(desk: OutcomeDesk, store: StateStore) -> None:
    first, issued = desk.receive("flights_late", [("order-7", 1.0, None), (ISSUED, 1.0, None)])
    assert (first.status, first.message) == ("recorded", "Kept; waiting for its prediction.")
    assert (issued.status, issued.message) == ("recorded", "")
    with store.reading() as tx:
        assert tx.outcomes.values("flights_late", ["order-7"]) == {"order-7": 1.0}


def test_receipts_stay_in_order_around_an_unknown_one(desk: OutcomeDesk) -> None:
    receipts = desk.receive("flights_late", [("a", 1, None), (ALIEN, 1, None), ("b", 0, None)])
    assert [(r.prediction_id, r.status) for r in receipts] == [
        ("a", "recorded"),
        (ALIEN, "unknown"),
        ("b", "recorded"),
    ]


def test_one_bad_value_keeps_all_out(desk: OutcomeDesk, store: StateStore) -> None:
    with pytest.raises(InvalidRequest) as caught:
        desk.receive("flights_late", [("a", 1, None), ("b", "delayed", None)])
    assert caught.value.code == "invalid_outcome"
    assert caught.value.path == "outcomes[1].value"
    assert caught.value.hint == "This model takes 'on_time', 'late', or 0 and 1."
    with store.reading() as tx:
        assert tx.outcomes.values("flights_late", ["a"]) == {}


@pytest.mark.parametrize("event_time", [-1.0, 1_301.0, float("nan"), 1e13])
def test_an_event_time_must_be_possible(desk: OutcomeDesk, event_time: float) -> None:
    with pytest.raises(InvalidRequest) as caught:
        desk.receive("flights_late", [(ISSUED, 1, event_time)])
    assert caught.value.path == "outcomes[0].event_time"


def test_an_unknown_model_is_not_found(desk: OutcomeDesk) -> None:
    with pytest.raises(NotFound) as caught:
        desk.receive("trains_late", [(ISSUED, 1, None)])
    assert caught.value.code == "model_not_found"


def test_receipts_are_counted_by_status(desk: OutcomeDesk, metrics: Metrics) -> None:
    desk.receive("flights_late", [(ISSUED, 1, None), (ISSUED, 1, None), (ALIEN, 1, None)])
    found = {
        status: metrics.registry.get_sample_value(
            "ml_outcomes_total", {"model": "flights_late", "status": status}
        )
        for status in ("recorded", "duplicate", "unknown", "corrected")
    }
    assert found == {"recorded": 1.0, "duplicate": 1.0, "unknown": 1.0, "corrected": None}


@pytest.mark.parametrize(
    ("task", "labels", "value", "expected"),
    [
        (Task.BINARY, ("on_time", "late"), True, 1.0),
        (Task.BINARY, ("on_time", "late"), 0, 0.0),
        (Task.BINARY, ("on_time", "late"), "on_time", 0.0),
        (Task.BINARY, ("1", "2"), 1, 0.0),
        (Task.BINARY, ("1", "2"), True, 1.0),
        (Task.BINARY, ("1", "2"), 2.0, 1.0),
        (Task.BINARY, ("0", "1"), "1", 1.0),
        (Task.BINARY, ("False", "True"), True, 1.0),
        (Task.BINARY, ("False", "True"), 0, 0.0),
        (Task.MULTICLASS, ("a", "b", "c"), "c", 2.0),
        (Task.MULTICLASS, ("3", "4", "5"), 4, 1.0),
        (Task.REGRESSION, (), -2.5, -2.5),
    ],
)
def test_values_become_numbers(
    task: Task, labels: tuple[str, ...], value: OutcomeValue, expected: float
) -> None:
    assert (
        outcome_numbers(msgspec.structs.replace(BINARY, task=task, labels=labels))(value)
        == expected
    )


@pytest.mark.parametrize(
    ("task", "labels", "value"),
    [
        (Task.BINARY, ("on_time", "late"), 0.5),
        (Task.BINARY, ("on_time", "late"), 2),
        (Task.BINARY, ("on_time", "late"), "1"),
        (Task.BINARY, ("1", "2"), 0),
        (Task.BINARY, ("on_time", "late"), float("nan")),
        (Task.MULTICLASS, ("a", "b", "c"), 1),
        (Task.MULTICLASS, ("0", "1", "2"), True),
        (Task.REGRESSION, (), True),
        (Task.REGRESSION, (), "12"),
        (Task.REGRESSION, (), float("inf")),
    ],
)
def test_values_that_mean_nothing_to_the_model_are_refused(
    task: Task, labels: tuple[str, ...], value: OutcomeValue
) -> None:
    numbers = outcome_numbers(msgspec.structs.replace(BINARY, task=task, labels=labels))
    with pytest.raises(ValueError, match="This model takes"):
        numbers(value)
