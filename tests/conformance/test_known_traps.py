"""Mistakes that code for this job is known to make, each with the test that would find it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from threading import Event
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from prometheus_client import CollectorRegistry
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest

from trimtab import (
    DriftDetector,
    ModelDeployment,
    OptimizedModel,
    ProductionFeaturePipeline,
    ProductionModel,
)
from trimtab.drift.jensen_shannon import JensenShannon
from trimtab.errors import Conflict, InvalidPlan
from trimtab.optimize.trees import drop_trees
from trimtab.sketch import fit, sketch
from trimtab.telemetry import Metrics
from trimtab.types import FeatureKind, Provenance

ASSIGNED = """
import json
from trimtab import ModelDeployment

class Constant:
    def predict(self, features):
        return 0

deployment = ModelDeployment()
deployment.deploy_model("champion", Constant())
deployment.deploy_model("a", Constant(), traffic_percent=10)
deployment.deploy_model("b", Constant(), traffic_percent=25.5)
print(json.dumps([deployment.model_for(f"user-{n}") for n in range(2_000)]))
"""


class Answers:
    """A model that always answers the same."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def predict(self, _features: object) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def numbers(seed: int, rows: int, *, shift: float = 0.0, features: int = 1) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    table = generator.normal(size=(rows, features))
    table[:, 0] += shift
    return pd.DataFrame(table, columns=[f"f{n}" for n in range(features)])


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), drop=("model",))


# ---- drift


def test_jensen_shannon_is_our_own_since_scikit_learn_has_none() -> None:
    assert not hasattr(sklearn.metrics, "jensen_shannon_distance")
    values = numbers(0, 2_000)["f0"].to_numpy()
    binning = fit(FeatureKind.NUMERIC, values)
    same = JensenShannon().score(sketch(binning, values), sketch(binning, values))
    away = JensenShannon().score(sketch(binning, values), sketch(binning, values + 100))
    assert same is not None
    assert away is not None
    assert 0.0 == same.score
    assert 0.9 < away.score <= 1.0


def test_a_trivial_shift_scores_little_however_many_rows_there_are() -> None:
    detector = DriftDetector(numbers(0, 200_000))
    drifted, scores = detector.detect_drift(numbers(1, 200_000, shift=0.02))
    assert not drifted
    assert scores["f0"] < 0.02  # 1 - p would be 0.9999 here


def test_noise_scores_nothing_however_few_rows_there_are() -> None:
    detector = DriftDetector(numbers(0, 500))
    found = [detector.detect_drift(numbers(seed, 40)) for seed in range(1, 41)]
    assert sum(drifted for drifted, _ in found) <= 5  # 5 % of 40 windows, give or take
    assert 35 <= sum(scores["f0"] == 0.0 for _, scores in found)


def test_a_score_grows_with_the_shift_and_hardly_depends_on_the_number_of_rows() -> None:
    detector = DriftDetector(numbers(0, 5_000))
    shifts = (0.0, 0.25, 0.5, 1.0, 2.0)
    few, many = (
        [detector.detect_drift(numbers(1, rows, shift=s))[1]["f0"] for s in shifts]
        for rows in (1_000, 50_000)
    )
    assert sorted(many) == many
    assert len(shifts) == len(set(many))
    assert np.allclose(few, many, atol=0.06)


@pytest.mark.parametrize("row", [{"f0": 1e9}, [1e9], np.array([1e9]), pd.Series({"f0": 1e9})])
def test_a_single_row_cannot_drift(row: Any) -> None:
    detector = DriftDetector(numbers(0, 1_000))
    assert 0.0 == detector.score(row)
    assert (False, {"f0": 0.0}) == detector.detect_drift(row)


def test_one_broken_feature_among_many_is_not_averaged_away() -> None:
    detector = DriftDetector(numbers(0, 4_000, features=40))
    current = numbers(1, 2_000, shift=1.0, features=40)
    drifted, scores = detector.detect_drift(current, threshold=0.3)
    assert drifted
    assert np.mean(list(scores.values())) < 0.1
    assert ["f0"] == [name for name, score in scores.items() if score >= 0.3]
    assert detector.score(current) >= 0.3


# ---- smaller models


def test_setting_n_estimators_on_a_fitted_forest_changes_nothing_but_dropping_trees_does() -> None:
    X = np.random.default_rng(0).normal(size=(300, 4))
    y = X[:, 0] + X[:, 1] > 0
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    before = forest.predict_proba(X)
    assert (before == forest.set_params(n_estimators=5).predict_proba(X)).all()
    smaller = drop_trees(forest, 5)
    assert 5 == len(smaller.estimators_)
    assert (before != smaller.predict_proba(X)).any()


def test_selecting_more_features_than_there_are_keeps_them_all() -> None:
    X = np.random.default_rng(0).normal(size=(200, 5))
    y = X[:, 0] > 0
    model = OptimizedModel(RandomForestClassifier(5, random_state=0), SelectKBest(k=100))
    assert ("0", "1", "2", "3", "4") == model.optimize_for_inference(X, y).report.kept


def test_the_model_is_fitted_anew_on_what_was_selected_and_still_takes_every_column() -> None:
    X = np.random.default_rng(0).normal(size=(400, 8))
    y = X[:, 5] > 0
    forest = RandomForestClassifier(10, random_state=0).fit(X, y)
    model = OptimizedModel(forest, SelectKBest(k=1)).optimize_for_inference(X, y)
    assert ("5",) == model.report.kept
    assert (400,) == model.predict(X).shape
    assert (model.predict(X) == y).mean() > 0.99
    assert 8 == forest.n_features_in_


# ---- routing


def assigned(seed: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", ASSIGNED],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    answer: list[str] = json.loads(done.stdout)
    return answer


def test_a_user_keeps_the_version_in_processes_that_hash_strings_differently() -> None:
    first = assigned("1")
    assert first == assigned("2")
    assert {"champion", "a", "b"} == set(first)


def test_ten_percent_is_ten_percent_and_the_first_deployment_has_everybody(
    metrics: Metrics,
) -> None:
    deployment = ModelDeployment(metrics=metrics)
    deployment.deploy_model("v1", Answers(1), traffic_percent=10)
    assert {"v1": 1.0} == deployment.shares
    deployment.deploy_model("v2", Answers(2), traffic_percent=10)
    assert {"v1": 0.9, "v2": 0.1} == deployment.shares  # 100 and 10, normalised, give 9.09 %


def test_every_user_gets_an_answer_whatever_the_shares_add_up_to(metrics: Metrics) -> None:
    deployment = ModelDeployment(metrics=metrics)
    deployment.deploy_model("v0", Answers("v0"))
    for n in range(1, 11):
        deployment.deploy_model(f"v{n}", Answers(f"v{n}"), traffic_percent=9.99)
    versions = {deployment.model_for(f"user-{n}") for n in range(100_000)}
    assert {f"v{n}" for n in range(11)} == versions  # float cut-offs leave some with None
    answers = {deployment.predict(f"user-{n}", [0]) for n in range(200)}
    assert answers <= versions


def test_the_last_version_cannot_be_rolled_back(metrics: Metrics) -> None:
    deployment = ModelDeployment(metrics=metrics)
    deployment.deploy_model("v1", Answers(1))
    deployment.deploy_model("v2", Answers(2))
    deployment.rollback_model("v2")
    with pytest.raises(Conflict, match="'v1' is the only version"):
        deployment.rollback_model("v1")
    assert 1 == deployment.predict("user", [0])


def test_more_than_everybody_is_refused_with_the_sum(metrics: Metrics) -> None:
    deployment = ModelDeployment(metrics=metrics)
    deployment.deploy_model("v1", Answers(1))
    deployment.deploy_model("v2", Answers(2), traffic_percent=60)
    with pytest.raises(InvalidPlan, match=r"v2 60 % \+ v3 50 % = 110 %"):
        deployment.deploy_model("v3", Answers(3), traffic_percent=50)
    assert {"v1": 0.4, "v2": 0.6} == deployment.shares


# ---- features


class Store:
    """A store of which both methods are given."""

    def __init__(self, realtime: Any, batch: Any) -> None:
        self._realtime = realtime
        self._batch = batch

    def get_realtime_features(self, _user_id: str, _timeout: float) -> Any:
        return self._realtime()

    def get_batch_features(self, _user_id: str) -> Any:
        return self._batch()


def failing(error: BaseException) -> Any:
    def fail() -> None:
        raise error

    return fail


@pytest.fixture
def pipelines(metrics: Metrics) -> Iterator[Any]:
    made: list[ProductionFeaturePipeline] = []

    def make(store: Store, fallbacks: dict[str, object]) -> ProductionFeaturePipeline:
        made.append(ProductionFeaturePipeline(store, fallbacks, metrics=metrics))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()


@pytest.mark.parametrize(
    "realtime",
    [
        *map(
            failing,
            [
                TimeoutError(),
                ConnectionError("refused"),
                KeyError("user"),
                ValueError("not JSON"),
                RuntimeError("a bug in the driver"),
            ],
        ),
        lambda: None,
        dict,
        lambda: {"spent": None},
        lambda: {"spent": math.nan},
        lambda: {"spent": np.float32("nan")},
        lambda: {"spent": pd.NA},
        lambda: 42,
    ],
)
def test_a_store_fails_in_many_ways_and_the_next_source_answers(
    pipelines: Any, realtime: Any
) -> None:
    pipeline = pipelines(Store(realtime, lambda: {"spent": 3.0, "age": None}), {"age": 18})
    answer = pipeline.get_features_with_provenance("user", timeout=5_000)
    assert {"spent": 3.0, "age": 18} == answer.values
    assert {"spent": Provenance.BATCH, "age": Provenance.DEFAULT} == answer.provenance


def test_a_store_that_ignores_its_time_out_does_not_hold_the_caller(pipelines: Any) -> None:
    mended = Event()
    pipeline = pipelines(Store(mended.wait, mended.wait), {"spent": 0.0})
    started = monotonic()
    features = pipeline.get_features("user", timeout=50)
    seconds = monotonic() - started
    mended.set()
    assert {"spent": 0.0} == features
    assert seconds < 2.0  # the store itself would never have answered


# ---- metrics


def test_there_is_no_accuracy_before_there_are_outcomes(metrics: Metrics) -> None:
    model = ProductionModel(Answers([1, 0, 1]), version="7", metrics=metrics)
    labels = {"model_version": "7"}
    predictions = model.predict([[0], [0], [0]])
    assert metrics.registry.get_sample_value("ml_model_accuracy", labels) is None
    assert model.record_outcomes(predictions, [None, None, None]) is None
    assert metrics.registry.get_sample_value("ml_model_accuracy", labels) is None
    assert 0.5 == model.record_outcomes(predictions, [1, 1, None])
    assert 0.5 == metrics.registry.get_sample_value("ml_model_accuracy", labels)


def test_none_of_this_needs_a_server_or_an_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, trimtab.library; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = set(done.stdout.split())
    assert set() == loaded & {"sklearn", "starlette", "uvicorn", "sqlalchemy", "pandas", "redis"}
