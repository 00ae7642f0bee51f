from __future__ import annotations

from threading import Event
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from trimtab.errors import Conflict, InvalidInput, InvalidPlan, InvalidRow, NotFound
from trimtab.library.deployment import ModelDeployment
from trimtab.telemetry import Metrics

USERS = [f"user-{n}" for n in range(3_000)]


class Model:
    """Answers, raises or waits, as told."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def predict(self, _features: object) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, Event):
            self.answer.wait()
        return self.answer


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), drop=("model",))


@pytest.fixture
def deployment(metrics: Metrics) -> ModelDeployment:
    return ModelDeployment(metrics=metrics)


def versions(deployment: ModelDeployment) -> dict[str, str]:
    return {user: deployment.model_for(user) for user in USERS}


def deployed(deployment: ModelDeployment, **percents: float) -> ModelDeployment:
    for model_id, percent in percents.items():
        deployment.deploy_model(model_id, Model(model_id), traffic_percent=percent)
    return deployment


def test_users_are_spread_as_the_shares_say(deployment: ModelDeployment) -> None:
    found = list(versions(deployed(deployment, v1=100, v2=20, v3=12.5)).values())
    assert {"v1": 0.675, "v2": 0.2, "v3": 0.125} == deployment.shares
    for model_id, share in deployment.shares.items():
        assert share == pytest.approx(found.count(model_id) / len(USERS), abs=0.03)


def test_a_ramp_moves_users_from_the_champion_to_the_candidate_only(
    deployment: ModelDeployment,
) -> None:
    deployed(deployment, v1=100, v2=5, v3=7)
    before = versions(deployment)
    for percent in (10, 40, 93):
        deployment.ramp("v2", percent)
        after = versions(deployment)
        moved = {(before[user], after[user]) for user in USERS if before[user] != after[user]}
        assert {("v1", "v2")} == moved
        before = after
    assert {"v1": 0.0, "v2": 0.93, "v3": 0.07} == deployment.shares


def test_the_same_deployments_give_the_same_users(metrics: Metrics) -> None:
    first, second = (deployed(ModelDeployment(metrics=metrics), v1=100, v2=30) for _ in range(2))
    assert versions(first) == versions(second)
    other = deployed(ModelDeployment(salt="another", metrics=metrics), v1=100, v2=30)
    assert versions(first) != versions(other)


def test_the_next_candidate_tries_its_luck_with_other_users(deployment: ModelDeployment) -> None:
    deployed(deployment, v1=100, v2=10)
    first = {user for user, version in versions(deployment).items() if version == "v2"}
    deployment.rollback_model("v2")
    deployed(deployment, v3=10)
    second = {user for user, version in versions(deployment).items() if version == "v3"}
    assert len(first & second) < len(first) / 2


@pytest.mark.parametrize(
    "answer", [ValueError("bug"), KeyError("a"), None, float("nan"), [1.0, float("inf")]]
)
def test_a_candidate_that_fails_never_fails_the_user(
    deployment: ModelDeployment, metrics: Metrics, answer: Any
) -> None:
    deployed(deployment, v1=100)
    deployment.deploy_model("v2", Model(answer), traffic_percent=100)
    assert "v1" == deployment.predict("user", [0])
    assert {"v2": 1} == deployment.failures
    count = metrics.registry.get_sample_value(
        "ml_candidate_failures_total", {"model_version": "v2"}
    )
    assert 1.0 == count


def test_a_candidate_that_hangs_never_holds_the_user(metrics: Metrics) -> None:
    deployment = deployed(ModelDeployment(deadline_ms=20, metrics=metrics), v1=100)
    mended = Event()
    deployment.deploy_model("v2", Model(mended), traffic_percent=100)
    answers = [deployment.predict("user", [0]) for _ in range(20)]
    mended.set()
    assert ["v1"] * 20 == answers
    assert {"v2": 20} == deployment.failures


def test_a_champion_that_fails_says_so_itself(deployment: ModelDeployment) -> None:
    deployment.deploy_model("v1", Model(ZeroDivisionError("bug")))
    with pytest.raises(ZeroDivisionError, match="bug"):
        deployment.predict("user", [0])
    assert {} == deployment.failures


def test_a_candidate_that_is_rolled_back_is_gone_at_once(deployment: ModelDeployment) -> None:
    deployed(deployment, v1=100, v2=50, v3=30)
    before = versions(deployment)
    deployment.rollback_model("v2")
    assert {"v1": 0.7, "v3": 0.3} == deployment.shares
    expected = {user: "v1" if version == "v2" else version for user, version in before.items()}
    assert expected == versions(deployment)


def test_a_promoted_candidate_gives_way_to_the_champion_before_it(
    deployment: ModelDeployment,
) -> None:
    deployed(deployment, v1=100, v2=100)
    deployment.promote("v2")
    assert {"v2": 1.0} == deployment.shares
    deployed(deployment, v3=10)
    assert {"v2": 0.9, "v3": 0.1} == deployment.shares
    deployment.rollback_model("v2")
    assert {"v1": 0.9, "v3": 0.1} == deployment.shares
    assert {"v1", "v3"} == {deployment.predict(user, [0]) for user in USERS[:200]}


def test_a_former_champion_can_be_given_up(deployment: ModelDeployment) -> None:
    deployed(deployment, v1=100, v2=10)
    deployment.promote("v2")
    deployment.rollback_model("v1")
    with pytest.raises(Conflict, match="only version"):
        deployment.rollback_model("v2")


def test_without_a_former_champion_the_largest_candidate_takes_over(
    deployment: ModelDeployment,
) -> None:
    deployed(deployment, v1=100, v2=10, v3=30)
    before = versions(deployment)
    deployment.rollback_model("v1")
    assert {"v3": 0.9, "v2": 0.1} == deployment.shares
    expected = {user: "v3" if version == "v1" else version for user, version in before.items()}
    assert expected == versions(deployment)


def test_promoting_a_candidate_moves_nobody_who_has_it(deployment: ModelDeployment) -> None:
    deployed(deployment, v1=100, v2=10, v3=30)
    before = versions(deployment)
    deployment.promote("v2")
    expected = {user: "v2" if version == "v1" else version for user, version in before.items()}
    assert expected == versions(deployment)
    deployment.promote("v2")
    assert {"v2": 0.7, "v3": 0.3} == deployment.shares


def test_any_user_id_will_do_that_has_a_text(deployment: ModelDeployment) -> None:
    deployed(deployment, v1=100, v2=50)
    assert deployment.model_for(12) == deployment.model_for("12")


@pytest.mark.parametrize("user", [None, ""])
def test_nobody_is_no_user(deployment: ModelDeployment, user: Any) -> None:
    with pytest.raises(InvalidRow, match="Without a user id"):
        deployed(deployment, v1=100).predict(user, [0])


def test_before_the_first_deployment_nothing_can_be_predicted(deployment: ModelDeployment) -> None:
    with pytest.raises(NotFound, match="No model is deployed"):
        deployment.predict("user", [0])


@pytest.mark.parametrize("percent", [-1, 100.5, float("nan"), "10", None, True, 0.001])
def test_a_share_that_is_none_is_refused(deployment: ModelDeployment, percent: Any) -> None:
    deployed(deployment, v1=100)
    with pytest.raises(InvalidPlan) as refused:
        deployment.deploy_model("v2", Model(), percent)
    assert "traffic_percent" == refused.value.path
    assert {"v1": 1.0} == deployment.shares


def test_what_contradicts_the_state_is_refused(deployment: ModelDeployment) -> None:
    deployed(deployment, v1=100, v2=10)
    with pytest.raises(Conflict, match="'v2' is deployed already"):
        deployed(deployment, v2=10)
    with pytest.raises(Conflict, match="'v1' is the champion"):
        deployment.ramp("v1", 95)
    with pytest.raises(InvalidPlan, match="would shrink"):
        deployment.ramp("v2", 5)
    with pytest.raises(NotFound, match="No version 'v9'"):
        deployment.rollback_model("v9")
    with pytest.raises(InvalidInput, match="no method 'predict'"):
        deployment.deploy_model("v3", object())
    assert {"v1": 0.9, "v2": 0.1} == deployment.shares
