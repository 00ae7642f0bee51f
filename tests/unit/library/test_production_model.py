from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry
from sklearn.linear_model import LogisticRegression

from trimtab.errors import InvalidConfig, InvalidInput, InvalidRow
from trimtab.library.detector import DriftDetector
from trimtab.library.production import ProductionModel
from trimtab.telemetry import Metrics, shared_metrics
from trimtab.testing import FakeClock


class Slow:
    """A model that takes a quarter of a second."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    def predict(self, rows: Any) -> list[int]:
        self.clock.advance(0.25)
        return [1 for _ in rows]


class Scores:
    """A detector whose scores are given."""

    def __init__(self, scores: Iterable[float]) -> None:
        self.scores = iter(scores)

    def score(self, _features: object) -> float:
        return next(self.scores)


class Retrained(ProductionModel):
    """Notes the drift score of each alert."""

    def trigger_retraining_alert(self) -> None:
        self.alerts = [*getattr(self, "alerts", []), self.drift_score]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), drop=("model",))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_rows_and_seconds_are_counted(metrics: Metrics) -> None:
    clock = FakeClock()
    model = ProductionModel(Slow(clock), version="3", metrics=metrics, clock=clock)
    assert [1, 1] == model.predict([[0], [0]])
    assert [1] == model.predict([[0]])
    assert 3.0 == value(metrics, "ml_predictions_total", model_version="3")
    assert 2.0 == value(metrics, "ml_prediction_duration_seconds_count")
    assert 0.5 == value(metrics, "ml_prediction_duration_seconds_sum")
    assert value(metrics, "ml_data_drift_score", model_version="3") is None


def test_one_row_goes_in_however_it_is_written(metrics: Metrics) -> None:
    X = pd.DataFrame({"a": [0.0, 1.0] * 20, "b": [0.0] * 40})
    fitted = LogisticRegression().fit(X, [0, 1] * 20)
    model = ProductionModel(fitted, DriftDetector(X), metrics=metrics)
    for row in ({"b": 0.0, "a": 9.0}, pd.Series({"a": 9.0, "b": 0.0}), [9.0, 0.0], X[1:2]):
        np.testing.assert_array_equal([1], model.predict(row))


def test_the_alert_is_raised_once_an_excursion(metrics: Metrics) -> None:
    scores = [0.0, 0.3, 0.31, 0.9, 0.2, 0.5, 0.1, 0.4, 0.09, 0.35, 0.36]
    model = Retrained(Slow(FakeClock()), Scores(scores), metrics=metrics)
    for _ in scores:
        model.predict([[0]])
    # 0.3 is not above 0.3; at 0.1 the first excursion is not over yet, at 0.09 it is.
    assert [0.31, 0.35] == model.alerts
    assert 0.36 == value(metrics, "ml_data_drift_score", model_version="1")


def test_an_alert_that_fails_costs_nobody_the_prediction(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    class Unmailed(ProductionModel):
        def trigger_retraining_alert(self) -> None:
            message = "no mail server"
            raise ConnectionError(message)

    model = Unmailed(Slow(FakeClock()), Scores([0.9]), metrics=metrics)
    assert [1] == model.predict([[0]])
    assert "no mail server" in caplog.text


def test_the_alert_tells_the_log_by_default(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    ProductionModel(Slow(FakeClock()), Scores([0.9]), metrics=metrics).predict([[0]])
    assert "drift score 0.900 of model version 1 is above 0.300: retrain" in caplog.text


def test_a_row_that_cannot_be_compared_is_predicted_counted_and_logged_once(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    class Refusing:
        def score(self, _features: object) -> float:
            raise InvalidRow("No.", code="wrong_type")

    model = ProductionModel(Slow(FakeClock()), Refusing(), metrics=metrics)
    assert [[1], [1]] == [model.predict([[0]]) for _ in range(2)]
    assert 2.0 == value(metrics, "ml_prediction_log_dropped_total", reason="wrong_type")
    assert 1 == caplog.text.count("drift is not watched: No.")


def test_a_model_that_fails_fails_the_caller(metrics: Metrics) -> None:
    class Broken:
        def predict(self, _rows: object) -> None:
            message = "broken"
            raise ZeroDivisionError(message)

    with pytest.raises(ZeroDivisionError, match="broken"):
        ProductionModel(Broken(), metrics=metrics).predict([[0]])
    assert value(metrics, "ml_predictions_total", model_version="1") is None


def test_accuracy_is_that_of_the_last_thousand_known_outcomes(metrics: Metrics) -> None:
    model = ProductionModel(Slow(FakeClock()), metrics=metrics)
    assert 0.0 == model.record_outcomes([1] * 900, [0] * 900)
    assert 0.5 == model.record_outcomes(np.ones(500), pd.Series([1] * 500))
    assert 0.5 == value(metrics, "ml_model_accuracy", model_version="1")


@pytest.mark.parametrize(
    ("predicted", "known", "accuracy"),
    [
        (np.array(["a", "b"]), ["a", None], 1.0),
        (np.array([1, 0]), np.array([1.0, np.nan]), 1.0),
        (np.array([True, False]), [1, 1], 0.5),
        (1, 0, 0.0),
        ("spam", "spam", 1.0),
    ],
)
def test_classes_are_compared_by_value(
    metrics: Metrics, predicted: Any, known: Any, accuracy: float
) -> None:
    model = ProductionModel(Slow(FakeClock()), metrics=metrics)
    assert accuracy == model.record_outcomes(predicted, known)


@pytest.mark.parametrize(
    ("predicted", "known", "code"),
    [([1, 0], [1], "unequal_lengths"), ([0.7], [1], "not_a_class")],
)
def test_what_is_neither_right_nor_wrong_is_refused(
    metrics: Metrics, predicted: Any, known: Any, code: str
) -> None:
    model = ProductionModel(Slow(FakeClock()), metrics=metrics)
    with pytest.raises(InvalidInput) as refused:
        model.record_outcomes(predicted, known)
    assert code == refused.value.code


@pytest.mark.parametrize(("retrain", "drift"), [(0.1, 0.2), (1.5, 0.1), (0.3, -0.1)])
def test_thresholds_out_of_order_are_refused(
    metrics: Metrics, retrain: float, drift: float
) -> None:
    with pytest.raises(InvalidConfig, match="not in order"):
        ProductionModel(
            Slow(FakeClock()), retrain_threshold=retrain, drift_threshold=drift, metrics=metrics
        )


def test_models_of_one_process_share_its_metrics() -> None:
    registry = CollectorRegistry()
    assert shared_metrics(registry) is shared_metrics(registry)
    assert shared_metrics(registry) is not shared_metrics(CollectorRegistry())
    for version in ("shared-1", "shared-2"):
        ProductionModel(Slow(FakeClock()), version=version).predict([[0]])
        found = value(shared_metrics(), "ml_predictions_total", model_version=version)
        assert 1.0 == found
