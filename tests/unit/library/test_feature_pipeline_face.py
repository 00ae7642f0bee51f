from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from trimtab.errors import InvalidInput, InvalidRow, Unavailable
from trimtab.library.feature_pipeline import ProductionFeaturePipeline
from trimtab.telemetry import Metrics
from trimtab.types import Provenance


class Store:
    """Answers from two dictionaries, and notes what it was asked."""

    def __init__(self, realtime: dict[str, Any], batch: dict[str, Any]) -> None:
        self.realtime = realtime
        self.batch = batch
        self.asked: list[tuple[object, ...]] = []

    def get_realtime_features(self, user_id: object, timeout: float) -> dict[str, Any]:
        self.asked.append((user_id, timeout))
        return self.realtime

    def get_batch_features(self, user_id: object) -> dict[str, Any]:
        self.asked.append((user_id,))
        return self.batch


class AsyncStore:
    """The same with coroutines."""

    def __init__(self, realtime: dict[str, Any], batch: dict[str, Any]) -> None:
        self.store = Store(realtime, batch)

    async def get_realtime_features(self, user_id: object, timeout: float) -> dict[str, Any]:
        return self.store.get_realtime_features(user_id, timeout)

    async def get_batch_features(self, user_id: object) -> dict[str, Any]:
        return self.store.get_batch_features(user_id)


@pytest.fixture
def pipelines() -> Iterator[Any]:
    made: list[ProductionFeaturePipeline] = []

    def make(store: object, fallbacks: Any = None) -> ProductionFeaturePipeline:
        metrics = Metrics(CollectorRegistry(), drop=("model",))
        made.append(ProductionFeaturePipeline(store, fallbacks, metrics=metrics))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()


@pytest.mark.parametrize("kind", [Store, AsyncStore])
def test_each_feature_comes_from_the_first_source_that_has_it(pipelines: Any, kind: Any) -> None:
    store = kind({"a": 1.0, "b": None}, {"a": 9.0, "b": 2.0})
    pipeline = pipelines(store, {"a": 0.0, "c": 3.0})
    assert {"a": 1.0, "b": 2.0, "c": 3.0} == pipeline.get_features("user", timeout=5_000)
    answer = pipeline.get_features_with_provenance("user", timeout=5_000)
    expected = {"a": Provenance.REALTIME, "b": Provenance.BATCH, "c": Provenance.DEFAULT}
    assert expected == answer.provenance


def test_the_store_is_told_the_user_and_the_milliseconds(pipelines: Any) -> None:
    store = Store({"a": 1.0}, {})
    pipelines(store).get_features(7, timeout=5_000)
    assert [(7, 5_000)] == store.asked


def test_a_feature_that_nobody_has_is_named(pipelines: Any) -> None:
    with pytest.raises(InvalidRow, match="'a'"):
        pipelines(Store({"a": None}, {})).get_features("user", timeout=5_000)


def test_no_features_at_all_is_an_error(pipelines: Any) -> None:
    with pytest.raises(Unavailable):
        pipelines(Store({}, {})).get_features("user", timeout=5_000)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_that_cannot_be_kept_is_refused(pipelines: Any, timeout: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        pipelines(Store({"a": 1.0}, {})).get_features("user", timeout)
    assert "invalid_timeout" == refused.value.code


def test_a_store_without_the_methods_is_refused_at_once(pipelines: Any) -> None:
    with pytest.raises(InvalidInput, match="object has no method 'get_realtime_features'"):
        pipelines(object())
