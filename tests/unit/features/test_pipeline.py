from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping
from threading import Event, get_ident
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trimtab.config import FeaturesConfig
from trimtab.errors import InvalidRow, Unavailable
from trimtab.features.pipeline import FeaturePipeline
from trimtab.telemetry import Metrics
from trimtab.types import Provenance

REALTIME, BATCH, DEFAULT = Provenance.REALTIME, Provenance.BATCH, Provenance.DEFAULT
SLACK_SECONDS = 0.1  # for a busy machine; the store would hang for ever


class RealClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class Store:
    """Answers with what it was given, by calling it if it can be called."""

    def __init__(self, realtime: Any, batch: Any = None) -> None:
        self.realtime = realtime
        self.batch = batch
        self.asked: list[tuple[object, ...]] = []

    def get_realtime_features(self, user_id: object, timeout: float) -> Any:
        self.asked.append(("realtime", user_id, timeout))
        return self.realtime() if callable(self.realtime) else self.realtime

    def get_batch_features(self, user_id: object) -> Any:
        self.asked.append(("batch", user_id))
        return self.batch() if callable(self.batch) else self.batch


def pipeline(store: object, fallbacks: Mapping[str, Any] | None = None) -> FeaturePipeline:
    return FeaturePipeline(store, fallbacks, Metrics(), RealClock(), FeaturesConfig())


def raising(error: BaseException) -> Callable[[], Any]:
    def call() -> Any:
        raise error

    return call


@pytest.fixture
def release() -> Iterator[Event]:
    event = Event()
    yield event
    event.set()


def test_a_complete_realtime_answer_leaves_batch_alone() -> None:
    store = Store({"age": 30, "spend": 1.5}, {"age": 29, "spend": 1.0})
    answer = pipeline(store, {"age": 40}).get("u1", 80)
    assert answer.values == {"age": 30, "spend": 1.5}
    assert answer.provenance == {"age": REALTIME, "spend": REALTIME}
    assert store.asked == [("realtime", "u1", 80)]


def test_it_falls_back_feature_by_feature() -> None:
    realtime = {"a": 1.0, "b": None, "c": math.nan}
    store = Store(realtime, {"a": 9.0, "b": 2.0, "c": None, "d": 4.0})
    answer = pipeline(store, {"c": 3.0, "e": 5.0}).get(7)
    assert answer.values == {"c": 3.0, "e": 5.0, "a": 1.0, "b": 2.0, "d": 4.0}
    assert answer.provenance == {
        "c": DEFAULT,
        "e": DEFAULT,
        "a": REALTIME,
        "b": BATCH,
        "d": BATCH,
    }
    assert realtime == pytest.approx({"a": 1.0, "b": None, "c": math.nan}, nan_ok=True)


@pytest.mark.parametrize(
    "nothing",
    [None, math.nan, np.float32("nan"), np.float64("nan"), pd.NA, pd.NaT],
)
def test_every_null_is_missing(nothing: object) -> None:
    answer = pipeline(Store({"a": nothing}, {"a": nothing}), {"a": 1.0}).get("u1")
    assert (answer.values, answer.provenance) == ({"a": 1.0}, {"a": DEFAULT})


@pytest.mark.parametrize("value", [0, 0.0, "", False, [math.nan]])
def test_what_is_false_or_empty_is_a_value_all_the_same(value: object) -> None:
    answer = pipeline(Store({"a": value}, {"a": 1.0}), {"a": 2.0}).get("u1")
    assert answer.values == {"a": value}


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("100 ms"),
        ConnectionError("refused"),
        KeyError("u1"),
        ValueError("garbled"),
        RuntimeError("pool is closed"),
        SystemExit(1),
    ],
)
@pytest.mark.parametrize("reply", [{"a": 2.0}, None])
def test_any_failure_of_realtime_goes_to_batch_and_then_to_fallback(
    error: BaseException, reply: dict[str, float] | None
) -> None:
    answer = pipeline(Store(raising(error), reply), {"a": 3.0}).get("u1")
    assert answer.provenance == {"a": BATCH if reply else DEFAULT}
    answer = pipeline(Store(raising(error), raising(error)), {"a": 3.0}).get("u1")
    assert (answer.values, answer.provenance) == ({"a": 3.0}, {"a": DEFAULT})


@pytest.mark.parametrize("garbage", [3, "text", object(), [1, 2], {1, 2}, True])
def test_an_answer_that_is_no_mapping_is_a_failure(garbage: object) -> None:
    metrics = Metrics()
    made = FeaturePipeline(
        Store(garbage, {"a": 2.0}), {"a": 3.0}, metrics, RealClock(), FeaturesConfig()
    )
    assert made.get("u1").provenance == {"a": BATCH}
    failures = metrics.registry.get_sample_value(
        "ml_feature_store_failures_total", {"store": "realtime"}
    )
    assert failures == 1.0


def test_a_store_without_the_methods_leaves_the_fallback_values() -> None:
    assert pipeline(object(), {"a": 3.0}).get("u1").values == {"a": 3.0}


def test_a_store_that_ignores_its_timeout_does_not_hold_the_caller(release: Event) -> None:
    store, metrics = Store(release.wait, {"a": 2.0}), Metrics()
    made = FeaturePipeline(store, {"a": 3.0}, metrics, RealClock(), FeaturesConfig())
    started = time.monotonic()
    answer = made.get("u1", 400)
    held = metrics.registry.get_sample_value("ml_feature_reads_abandoned", {"store": "realtime"})
    assert held == 1.0
    assert 0.4 <= time.monotonic() - started < 0.4 + SLACK_SECONDS
    assert (answer.values, answer.provenance) == ({"a": 2.0}, {"a": BATCH})


def test_two_methods_that_hang_leave_the_fallback_values_in_time(release: Event) -> None:
    started = time.monotonic()
    answer = pipeline(Store(release.wait, release.wait), {"a": 3.0}).get("u1", 50)
    assert time.monotonic() - started < 0.05 + SLACK_SECONDS
    assert answer.provenance == {"a": DEFAULT}


def test_a_method_that_keeps_hanging_is_left_alone(release: Event) -> None:
    made = pipeline(Store(release.wait, {"a": 2.0}), {"a": 3.0})
    for _ in range(5):
        made.get("u1", 20)
    started = time.monotonic()
    answer = made.get("u1", 60_000)
    assert time.monotonic() - started < 1.0
    assert answer.provenance == {"a": BATCH}


class AsyncStore:
    """Asynchronous, with something that belongs to one loop, as clients have."""

    def __init__(self, hang: bool = False) -> None:
        self.hang = hang
        self.loops: set[int] = set()
        self.cancelled = Event()

    async def get_realtime_features(self, user_id: str, timeout: float) -> dict[str, Any]:  # noqa: ARG002
        self.loops.add(id(asyncio.get_running_loop()))
        try:
            await (asyncio.Event().wait() if self.hang else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return {"a": 1.0, "b": None}

    async def get_batch_features(self, user_id: str) -> dict[str, Any]:  # noqa: ARG002
        self.loops.add(id(asyncio.get_running_loop()))
        return {"b": 2.0}


def test_an_asynchronous_store_is_run_in_one_loop() -> None:
    store = AsyncStore()
    made = pipeline(store)
    for _ in range(3):
        assert made.get("u1").provenance == {"a": REALTIME, "b": BATCH}
    assert len(store.loops) == 1
    made.close()
    made.close()


def test_an_asynchronous_store_that_hangs_is_cancelled_in_time() -> None:
    store = AsyncStore(hang=True)
    started = time.monotonic()
    answer = pipeline(store, {"a": 3.0}).get("u1", 50)
    assert time.monotonic() - started < 0.05 + SLACK_SECONDS
    assert answer.provenance == {"a": DEFAULT, "b": BATCH}
    assert store.cancelled.wait(5)


@pytest.mark.anyio
async def test_it_can_be_called_where_a_loop_runs() -> None:
    assert pipeline(AsyncStore()).get("u1").values == {"a": 1.0, "b": 2.0}


def test_the_store_is_called_in_another_thread() -> None:
    store = Store(lambda: {"thread": get_ident()})
    assert pipeline(store).get("u1").values["thread"] != get_ident()


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_a_feature_that_nobody_has_is_an_error_that_names_it(nothing: object) -> None:
    made = pipeline(Store({"a": 1.0, "b": nothing}, {"b": nothing}), {"b": nothing})
    with pytest.raises(InvalidRow) as caught:
        made.get("u1")
    assert (caught.value.code, caught.value.path) == ("feature_unavailable", "features.b")


def test_no_source_and_no_fallback_at_all_is_an_error() -> None:
    with pytest.raises(Unavailable) as caught:
        pipeline(Store(raising(OSError()), raising(OSError()))).get("u1")
    assert caught.value.code == "features_unavailable"
