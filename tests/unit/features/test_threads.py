from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from threading import Event

import pytest

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.errors import Unavailable
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.threads import DaemonPool
from trimtab.features.views import compile_plan
from trimtab.protocols import FeatureStore
from trimtab.telemetry import Metrics
from trimtab.types import FeatureKind, FeatureSpec, Signature, StoredRow, Task

SLACK_SECONDS = 0.02  # for a busy machine; the store would hang for ever


class RealClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def release() -> Iterator[Event]:
    """Set it, and calls that hang go on; set at the end in any case."""
    event = Event()
    yield event
    event.set()


def test_calls_run_and_raise_where_their_future_is_read() -> None:
    pool = DaemonPool("test", lambda _: None, threads=2)
    assert pool.submit(divmod, 7, 2).result() == (3, 1)
    assert isinstance(pool.submit(divmod, 7, 0).exception(), ZeroDivisionError)
    pool.close()


def test_calls_beyond_the_threads_wait_for_their_turn(release: Event) -> None:
    pool = DaemonPool("test", lambda _: None, threads=2)
    held = [pool.submit(release.wait) for _ in range(2)]
    queued = [pool.submit(divmod, i, 1) for i in range(5)]
    assert not any(future.done() for future in queued)
    release.set()
    assert [future.result() for future in queued] == [(i, 0) for i in range(5)]
    assert [future.result() for future in held] == [True, True]


def test_calls_given_up_are_counted_until_they_return_and_bounded(release: Event) -> None:
    steps: list[int] = []
    returned = Event()

    def moved(step: int) -> None:
        steps.append(step)
        if sum(steps) == 0:
            returned.set()

    pool = DaemonPool("test", moved, threads=2)
    running = [Event(), Event()]
    hanging = [pool.submit(lambda e=event: (e.set(), release.wait())) for event in running]
    for event in running:
        assert event.wait(5)
    for future in hanging:
        pool.give_up(future)
    assert steps == [1, 1]
    with pytest.raises(Unavailable) as caught:
        pool.submit(divmod, 1, 1)
    assert caught.value.code == "threads_exhausted"
    release.set()
    assert returned.wait(5)
    assert steps == [1, 1, -1, -1]
    assert pool.submit(divmod, 1, 1).result() == (1, 0)


def test_a_call_given_up_before_its_turn_never_starts(release: Event) -> None:
    pool = DaemonPool("test", lambda _: None, threads=1)
    held = pool.submit(release.wait)
    started: list[int] = []
    queued = pool.submit(started.append, 1)
    pool.give_up(queued)
    release.set()
    assert held.result() is True
    assert pool.submit(divmod, 1, 1).result() == (1, 0)
    with pytest.raises(CancelledError):
        queued.result()
    assert started == []


class DeafStore:
    """Synchronous, and hangs until released whatever its caller wants."""

    def __init__(self, release: Event) -> None:
        self.release = release
        self.reads = 0

    def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:  # noqa: ARG002
        self.reads += 1
        self.release.wait()
        return {entity: StoredRow(values={"wind": 1.0}, event_time=0.0) for entity in entities}

    def close(self) -> None: ...


@pytest.mark.anyio
async def test_a_synchronous_store_that_hangs_holds_nobody(release: Event) -> None:
    config = FeaturesConfig(
        deadline_ms=20.0,
        breaker_failures=1000,
        stores={"online": StoreConfig(kind="deaf")},
        views={
            "weather": ViewConfig(
                entity="origin",
                realtime="online",
                features=(ViewFeature(name="wind", default=-1.0),),
            )
        },
    )
    spec = FeatureSpec(name="wind", kind=FeatureKind.NUMERIC)
    signature = Signature(features=(spec,), task=Task.BINARY)
    deaf = DeafStore(release)
    metrics, clock = Metrics(), RealClock()
    stores: dict[str, FeatureStore] = {"online": deaf}  # type: ignore[dict-item]
    guards = {n: Guard(n, store, metrics, clock, config) for n, store in stores.items()}
    plan = compile_plan(config, signature, ["weather"])
    resolver = Resolver(plan, signature, guards, metrics, clock, config)
    late = []
    for _ in range(24):
        started = time.monotonic()
        (answer,) = await resolver.resolve([[None]], [{"origin": "JFK"}], [0.0], 20.0)
        late.append(time.monotonic() - started - 0.020)
        assert answer.sources == "d"
    assert sorted(late)[len(late) // 2] < SLACK_SECONDS
    assert deaf.reads == 16
    held = metrics.registry.get_sample_value("ml_feature_reads_abandoned", {"store": "online"})
    assert held == 16.0
    release.set()
    await guards["online"].close()
