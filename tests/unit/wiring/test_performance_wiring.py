"""Performance is configured by model, and what does not fit a model is refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from tests.unit.performance.recorded import prediction

from trimtab.config import load
from trimtab.errors import InvalidConfig, InvalidInput
from trimtab.metric_files import exposition
from trimtab.performance import Promise
from trimtab.recordtable import table_of
from trimtab.telemetry import Metrics
from trimtab.types import Comparison, State, Task, Verdict, Version
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.performance import FactsKeeper, show_performance
from trimtab.wiring.registration import Training, register
from trimtab.wiring.watching import SubjectBook


def opened(folder: Path, **performance: Any) -> Deployment:
    settings = {f"models.m.performance.{name}": value for name, value in performance.items()}
    return Deployment.open(load(environ={}, overrides={"state.dir": str(folder), **settings}))


def registered(
    deployment: Deployment, labels: tuple[str, ...] = ("no", "yes"), only: int | None = None
) -> Version:
    rng = np.random.default_rng(0)
    x, where = rng.normal(size=300), rng.integers(0, 3, 300)
    y = rng.integers(0, len(labels), 300)
    frame = pa.table({"x": x, "where": where, "y": y})
    known = y if only is None else np.full(300, only)
    version = register(
        deployment,
        "m",
        LogisticRegression().fit(np.column_stack([x, where]), y),
        Training(
            reference=frame,
            holdout=frame.set_column(2, "y", pa.array(known)),
            outcome="y",
            task=Task.BINARY if len(labels) == 2 else Task.MULTICLASS,
            labels=labels,
        ),
        author="test",
    )
    deployment.deploy("m", version.version, actor="test", reason="first")
    return version


def subjects(deployment: Deployment) -> set[str]:
    with deployment.state.reading() as state:
        return {subject.key for subject in SubjectBook(deployment)(state)}


def test_costs_of_another_shape_are_refused_when_the_model_is_registered(tmp_path: Path) -> None:
    deployment = opened(tmp_path, costs=((0.0, 1.0, 2.0), (1.0, 0.0, 2.0), (1.0, 2.0, 0.0)))
    with pytest.raises(InvalidConfig, match="3 rows of 3, and it has 2 classes") as refused:
        registered(deployment)
    assert refused.value.path == "models.m.performance.costs"
    assert "no, yes" in refused.value.hint
    deployment.close()


def test_a_segment_that_is_no_feature_is_refused_with_those_there_are(tmp_path: Path) -> None:
    deployment = opened(tmp_path, segments=("country",))
    with pytest.raises(InvalidConfig, match="'country' is no feature") as refused:
        registered(deployment)
    assert "x, where" in refused.value.hint
    deployment.close()


def test_a_holdout_makes_three_subjects_of_performance(tmp_path: Path) -> None:
    deployment = opened(tmp_path, segments=("where",), costs=((0.0, 1.0), (5.0, 0.0)))
    version = registered(deployment)
    assert {"m/1/performance", "m/1/estimated_performance", "m/1/concept_drift"} <= subjects(
        deployment
    )
    assert "expected_cost" in version.metrics
    assert version.promise_digest is not None
    promise = Promise.load(deployment.blobs.fetch(version.promise_digest).read_bytes())
    assert {"where = 0", "where = 1", "where = 2"} == set(promise.segment_figures)
    deployment.close()


@pytest.mark.parametrize(
    ("labels", "only"), [(("no", "yes"), 1), (("a", "b", "c"), None), (("a", "b", "c"), 0)]
)
def test_a_holdout_of_one_class_or_without_a_class_can_be_registered(
    tmp_path: Path, labels: tuple[str, ...], only: int | None
) -> None:
    deployment = opened(tmp_path)
    version = registered(deployment, labels, only)
    assert "accuracy" in version.metrics
    assert ("roc_auc" in version.metrics) is (only is None)
    assert {"m/1/performance", "m/1/estimated_performance", "m/1/concept_drift"} <= subjects(
        deployment
    )
    deployment.close()


def test_facts_hold_what_the_models_performance_needs_and_no_more(tmp_path: Path) -> None:
    made = msgspec.structs.replace(
        prediction("p", 1.0), model="m", values=(0.5, 2), request_id="r", outputs=(0.25, 0.75)
    )
    plain = opened(tmp_path / "plain")
    registered(plain)
    facts = FactsKeeper(plain)(table_of([made]))[0]
    assert (None, None, None) == (facts.outputs, facts.request_id, facts.segments)
    rich = opened(tmp_path / "rich", segments=("where",), ranking_k=5)
    registered(rich, ("a", "b", "c"))
    facts = FactsKeeper(rich)(table_of([made]))[0]
    assert ((0.25, 0.75), "r", {"where": 2}) == (facts.outputs, facts.request_id, facts.segments)
    plain.close()
    rich.close()


def test_facts_of_many_are_those_of_each(tmp_path: Path) -> None:
    deployment = opened(tmp_path, segments=("where", "x"))
    registered(deployment, ("a", "b", "c"))
    made = [
        msgspec.structs.replace(
            prediction(f"{at}", 1.0), model="mn"[at % 7 == 0], version=1 + at % 3, values=(at / 2, at),
            outputs=(0.25, at / 100), withheld=((), (1,), (0, 1))[at % 5 // 2],
        )
        for at in range(60)
    ]  # fmt: skip
    keeper = FactsKeeper(deployment)
    assert [keeper(table_of([one]))[0] for one in made] == list(keeper(table_of(made)))
    own, other, another = (keeper(table_of(made))[at] for at in (15, 16, 21))
    assert ((0.25, 0.15), {"where": 15, "x": 7.5}) == (own.outputs, own.segments)
    assert (2, None, None) == (other.version, other.outputs, other.segments)
    assert ("n", 1, None) == (another.model, another.version, another.outputs)
    deployment.close()


def test_a_column_of_requests_is_no_feature_and_gives_rankings_their_figures(
    tmp_path: Path,
) -> None:
    deployment = opened(tmp_path, ranking_k=2)
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    frame = pa.table({"x": x, "query": [f"q{at // 5}" for at in range(400)], "y": (x > 0) * 1})
    training = Training(
        reference=frame, holdout=frame, outcome="y", request="query", task=Task.BINARY
    )
    model = LogisticRegression().fit(x[:, None], x > 0)
    version = register(deployment, "m", model, training, author="test")
    assert ("x",) == version.signature.names
    assert 0.9 < version.metrics["mrr"] < 1
    assert {"ndcg_at_2", "ndcg_at_2_se", "hit_rate_at_2_se"} <= set(version.metrics)
    wrong = msgspec.structs.replace(training, request="quest", ignore=("query",))
    with pytest.raises(InvalidInput, match="no column 'quest' for the requests"):
        register(deployment, "m", model, wrong, author="test")
    deployment.close()


def verdict(*, estimated: bool, revision: int = 0) -> Verdict:
    found = Comparison(
        name="accuracy",
        statistic="proportion_z",
        score=0.0,
        noise_floor=0.0,
        floor=0.02,
        p_value=None,
        words="estimated 0.8",
        current_value=0.8,
        interval=(0.7, 0.9),
        estimated=estimated,
    )
    return Verdict(
        subject="estimated_performance" if estimated else "performance",
        model="m",
        version=1,
        start=0.0,
        end=1.0,
        rows=10,
        state=State.STEADY,
        score=0.0,
        evidence=0.0,
        alarm_at=1.0,
        alarmed=False,
        since=None,
        comparisons=(found,),
        flagged=(),
        words="",
        revision=revision,
    )


def test_estimates_have_gauges_of_their_own_with_their_interval() -> None:
    metrics = Metrics()
    show_performance(metrics, verdict(estimated=True))
    text = exposition(metrics.registry).decode()
    labels = 'metric="accuracy",model="m",model_version="1"'
    for bound, value in (("value", 0.8), ("low", 0.7), ("high", 0.9)):
        assert f'ml_estimated_performance{{bound="{bound}",{labels}}} {value}' in text
    assert "ml_measured_performance{" not in text
    assert "ml_model_accuracy{" not in text
    show_performance(metrics, verdict(estimated=False))
    assert (
        f'ml_measured_performance{{bound="value",{labels}}} 0.8'
        in exposition(metrics.registry).decode()
    )


def test_a_window_that_was_counted_again_sets_no_gauge() -> None:
    metrics = Metrics()
    show_performance(metrics, verdict(estimated=False, revision=1))
    assert "ml_measured_performance{" not in exposition(metrics.registry).decode()
