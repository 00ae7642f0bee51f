from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.errors import InvalidRow
from trimtab.features.flight import Reply
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.views import FeaturePlan, compile_plan
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, run_virtually
from trimtab.types import FeatureKind, FeatureSpec, Resolved, Scalar, Signature, StoredRow, Task

SIGNATURE = Signature(
    features=(
        FeatureSpec(name="distance", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="wind", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="delay", kind=FeatureKind.NUMERIC),
    ),
    task=Task.BINARY,
)
CONFIG = FeaturesConfig(
    deadline_ms=100.0,
    breaker_failures=3,
    breaker_seconds=2.0,
    stores={name: StoreConfig(kind="memory") for name in ("online", "nightly")},
    views={
        "weather": ViewConfig(
            entity="origin",
            realtime="online",
            batch="nightly",
            features=(ViewFeature(name="wind", default=-1.0),),
        ),
        "airline": ViewConfig(
            entity="carrier", realtime="online", features=(ViewFeature(name="delay", default=-2.0),)
        ),
    },
)


class Store(MemoryStore):
    """Notes what is asked of it, and takes its time."""

    def __init__(self, x: float, delay_ms: float = 0.0) -> None:
        super().__init__()
        self.x = x
        self.delay_ms = delay_ms
        self.stubborn = False
        self.error: Exception | None = None
        self.asked: list[tuple[str, list[str]]] = []
        self.cancelled = 0

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        self.asked.append((view, list(entities)))
        try:
            await asyncio.sleep(self.delay_ms / 1e3)
        except asyncio.CancelledError:
            self.cancelled += 1
            if not self.stubborn:
                raise
            await asyncio.sleep(10.0)
        if self.error is not None:
            raise self.error
        values = {"wind": self.x, "delay": self.x}
        return {entity: StoredRow(values=values, event_time=0.0) for entity in entities}


class World:
    """A resolver with two stores, in virtual time."""

    def __init__(self, clock: FakeClock, *views: str) -> None:
        self.clock = clock
        self.metrics = Metrics()
        self.online, self.nightly = Store(1.0), Store(2.0)
        stores = {"online": self.online, "nightly": self.nightly}
        guards = {n: Guard(n, store, self.metrics, clock, CONFIG) for n, store in stores.items()}
        plan = compile_plan(CONFIG, SIGNATURE, views or ("weather",))
        self.resolver = Resolver(plan, SIGNATURE, guards, self.metrics, clock, CONFIG)

    async def ask(self, deadline_ms: float = 100.0) -> tuple[str, float]:
        """The sources of one row that lacks what the views have, and how long it took in ms."""
        started = self.clock.monotonic()
        lacking = [None if f in self.resolver._defaults else 5.0 for f in range(3)]
        (answer,) = await self.resolver.resolve(
            [lacking], [{"origin": "JFK", "carrier": "UA"}], [7.0], deadline_ms
        )
        return answer.sources, round((self.clock.monotonic() - started) * 1e3, 6)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def drive(resolver: Resolver, row: list[Scalar]) -> Resolved:
    """Run ``resolve`` without an event loop; it must not suspend."""
    coroutine = resolver.resolve([row], [{}], [0.0], 100.0)
    with pytest.raises(StopIteration) as finished:
        coroutine.send(None)
    (answer,) = finished.value.value
    assert isinstance(answer, Resolved)
    return answer


def test_a_complete_row_is_answered_without_suspending() -> None:
    answer = drive(World(FakeClock()).resolver, [1.0, 2.0, 3.0])
    assert answer == Resolved(
        values=(1.0, 2.0, 3.0), sources="qqq", ages_seconds=(None, None, None)
    )


def test_a_row_that_came_complete_has_a_short_way_unless_views_count_it() -> None:
    resolver = Resolver(FeaturePlan(), SIGNATURE, {}, Metrics(), FakeClock(), CONFIG)
    row: list[Scalar] = [1.0, 2.0, 3.0]
    assert resolver.whole(row) == drive(resolver, row)
    assert resolver.whole([1.0, None, 3.0]) is None
    assert resolver.whole([1.0, 2.0, math.nan]) is None
    assert World(FakeClock()).resolver.whole([1.0, 2.0, 3.0]) is None


def test_a_row_without_an_entity_is_answered_without_suspending() -> None:
    world = World(FakeClock())
    assert drive(world.resolver, [1.0, None, 3.0]).sources == "qdq"
    assert world.online.asked == []


def test_a_missing_feature_that_no_view_has_is_an_error_unless_it_may_be_missing() -> None:
    with pytest.raises(InvalidRow) as caught:
        drive(World(FakeClock()).resolver, [None, 1.0, 1.0])
    assert (caught.value.code, caught.value.path) == (
        "feature_unavailable",
        "rows[0].features.distance",
    )
    spec = FeatureSpec(name="distance", kind=FeatureKind.NUMERIC, nullable=True)
    signature = Signature(features=(spec,), task=Task.BINARY)
    plan = compile_plan(CONFIG, signature)
    resolver = Resolver(plan, signature, {}, Metrics(), FakeClock(), CONFIG)
    answer = drive(resolver, [float("nan")])
    assert answer == Resolved(values=(None,), sources="-", ages_seconds=(None,))


def test_many_rows_take_one_read_of_each_entity_once() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        origins = ["JFK", "LGA", "JFK", "EWR", "LGA"]
        rows: list[list[Scalar]] = [[1.0, None, 3.0] for _ in origins]
        rows[3][1] = 9.0
        answers = await world.resolver.resolve(
            rows, [{"origin": origin} for origin in origins], [7.0] * 5, 100.0
        )
        assert world.online.asked == [("weather", ["JFK", "LGA"])]
        assert [answer.sources for answer in answers] == ["qrq", "qrq", "qrq", "qqq", "qrq"]
        assert answers[0].ages_seconds == (None, 7.0, None)

    run_virtually(main)


def test_batch_is_left_alone_while_realtime_is_quick_and_complete() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.online.delay_ms = 40.0
        assert await world.ask() == ("qrq", 40.0)
        assert world.nightly.asked == []

    run_virtually(main)


def test_batch_is_asked_at_half_of_the_deadline_and_realtime_still_wins() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.online.delay_ms = 90.0
        assert await world.ask() == ("qrq", 90.0)
        assert len(world.nightly.asked) == 1
        world.online.delay_ms = 900.0
        world.nightly.delay_ms = 49.0
        assert await world.ask() == ("qbq", 100.0)
        world.nightly.delay_ms = 51.0
        assert await world.ask() == ("qdq", 100.0)
        await asyncio.sleep(1.0)
        assert (world.online.cancelled, world.nightly.cancelled) == (2, 1)

    run_virtually(main)


def test_an_open_breaker_sends_reads_to_batch_at_once_and_probes_later() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.online.delay_ms = 900.0
        assert [await world.ask() for _ in range(3)] == [("qbq", 100.0)] * 3
        assert await world.ask() == ("qbq", 0.0)
        assert len(world.online.asked) == 3
        world.online.delay_ms = 0.0
        await asyncio.sleep(2.0)
        assert await world.ask() == ("qrq", 0.0)
        assert world.sample("ml_feature_store_failures_total", store="online") == 3.0
        assert world.sample("ml_feature_breaker_open", store="online") == 0.0

    run_virtually(main)


def test_a_client_with_a_tiny_deadline_cannot_open_the_breaker() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.online.delay_ms = 10.0
        world.nightly.delay_ms = 10.0
        assert [await world.ask(2.0) for _ in range(9)] == [("qdq", 2.0)] * 9
        assert await world.ask() == ("qrq", 10.0)

    run_virtually(main)


@pytest.mark.parametrize("deadline_ms", [0.0, -5.0])
def test_no_time_left_means_defaults_and_no_read(deadline_ms: float) -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        assert await world.ask(deadline_ms) == ("qdq", 0.0)
        assert world.online.asked == []

    run_virtually(main)


def test_the_configured_deadline_bounds_that_of_the_request() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.online.delay_ms = world.nightly.delay_ms = 900.0
        assert await world.ask(60_000.0) == ("qdq", 100.0)

    run_virtually(main)


def test_a_late_answer_does_not_count_as_a_success() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.online.delay_ms, world.online.stubborn = 900.0, True
        for _ in range(3):
            assert await world.ask() == ("qbq", 100.0)
        assert world.sample("ml_feature_reads_abandoned", store="online") == 3.0
        await asyncio.sleep(1.0)
        assert await world.ask() == ("qbq", 0.0)

    run_virtually(main)


def test_reads_that_ignore_being_cancelled_are_bounded() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.online.delay_ms, world.online.stubborn = 900.0, True
        row: list[Scalar] = [1.0, None, 3.0]
        asks = [
            world.resolver.resolve([row], [{"origin": f"A{i}"}], [0.0], 20.0) for i in range(80)
        ]
        await asyncio.gather(*asks)
        assert world.sample("ml_feature_reads_abandoned", store="online") == 80.0
        assert await world.ask() == ("qbq", 0.0)
        assert len(world.online.asked) == 80
        world.online.delay_ms = 0.0
        await asyncio.sleep(11.0)
        assert world.sample("ml_feature_reads_abandoned", store="online") == 0.0
        assert await world.ask() == ("qrq", 0.0)

    run_virtually(main)


def test_views_are_read_side_by_side() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock, "weather", "airline")
        world.online.delay_ms = 40.0
        assert await world.ask() == ("qrr", 40.0)
        assert sorted(world.online.asked) == [("airline", ["UA"]), ("weather", ["JFK"])]
        world.online.error = OSError("reset by peer")
        assert await world.ask() == ("qbd", 40.0)

    run_virtually(main)


class ManyStore(Store):
    """Answers what is asked of several views in one round trip, and notes the trips."""

    def __init__(self, x: float) -> None:
        super().__init__(x)
        self.trips: list[list[tuple[str, list[str]]]] = []

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        return await super().read(view, entities)

    def begin_many(
        self, asked: Sequence[tuple[str, Sequence[str]]]
    ) -> list[asyncio.Future[Mapping[str, StoredRow]]]:
        self.trips.append([(view, list(entities)) for view, entities in asked])
        return [asyncio.ensure_future(self.read(view, entities)) for view, entities in asked]


def test_what_views_want_of_one_store_is_asked_in_one_round_trip() -> None:
    async def main(clock: FakeClock) -> None:
        airline = replace(CONFIG.views["airline"], batch="nightly")
        config = replace(CONFIG, views={**CONFIG.views, "airline": airline})
        online, nightly = ManyStore(1.0), ManyStore(2.0)
        stores = {"online": online, "nightly": nightly}
        guards = {n: Guard(n, store, Metrics(), clock, config) for n, store in stores.items()}
        plan = compile_plan(config, SIGNATURE, ("weather", "airline"))
        resolver = Resolver(plan, SIGNATURE, guards, Metrics(), clock, config)

        async def ask() -> str:
            row: list[Scalar] = [1.0, None, None]
            entities = [{"origin": f"o{i}", "carrier": f"c{i}"} for i in range(2)]
            answers = await resolver.resolve([row, row], entities, [7.0] * 2, 100.0)
            return "".join(answer.sources for answer in answers)

        trip = [("weather", ["o0", "o1"]), ("airline", ["c0", "c1"])]
        assert await ask() == "qrrqrr"
        assert (online.trips, nightly.trips) == ([trip], [])
        online.error = OSError("reset by peer")
        assert await ask() == "qbbqbb"
        assert (online.trips, nightly.trips) == ([trip, trip], [trip])

    run_virtually(main)


class NearStore(ManyStore):
    """Has each answer at once for who looks for it; who does not waits for ever."""

    def __init__(self, x: float) -> None:
        super().__init__(x)
        self.replies: list[Reply] = []
        self.looks = 0

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        return await super().read(view, entities)

    def begin_many(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[Reply]:  # type: ignore[override]  # as a store of ours
        self.replies = [Reply() for _ in asked]
        return self.replies

    def linger(self) -> None:
        self.looks += 1
        for reply in self.replies:
            reply.set_result({"JFK": StoredRow(values={"wind": self.x}, event_time=0.0)})


def test_one_row_from_one_store_is_looked_for_before_anybody_waits() -> None:
    async def main(clock: FakeClock) -> None:
        online = NearStore(1.0)
        plan = compile_plan(CONFIG, SIGNATURE, ("weather",))
        guards = {"online": Guard("online", online, Metrics(), clock, CONFIG)}
        resolver = Resolver(plan, SIGNATURE, guards, Metrics(), clock, CONFIG)
        row: list[Scalar] = [1.0, None, 2.0]
        asked = resolver.resolve([row], [{"origin": "JFK"}], [7.0], 100.0)
        with pytest.raises(StopIteration) as finished:
            asked.send(None)
        assert ["qrq"] == [answer.sources for answer in finished.value.value]
        assert 1 == online.looks

    run_virtually(main)


class FarStore(NearStore):
    """Has no answer yet for who looks for it."""

    def __init__(self, x: float) -> None:
        super().__init__(x)
        self.begun = 0

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        return await super().read(view, entities)

    def begin_many(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[Reply]:  # type: ignore[override]  # as a store of ours
        self.begun += 1
        return super().begin_many(asked)

    def linger(self) -> None:
        self.looks += 1

    def answer(self) -> None:
        super().linger()


def test_a_read_that_was_looked_for_in_vain_can_be_joined_and_one_that_is_over_cannot() -> None:
    async def main(clock: FakeClock) -> None:
        online = FarStore(1.0)
        plan = compile_plan(CONFIG, SIGNATURE, ("weather",))
        guards = {"online": Guard("online", online, Metrics(), clock, CONFIG)}
        resolver = Resolver(plan, SIGNATURE, guards, Metrics(), clock, CONFIG)

        async def ask() -> str:
            row: list[Scalar] = [1.0, None, 2.0]
            (answer,) = await resolver.resolve([row], [{"origin": "JFK"}], [7.0], 100.0)
            return answer.sources

        both = [asyncio.ensure_future(ask()) for _ in range(2)]
        await asyncio.sleep(0)
        assert (1, 1) == (online.begun, online.looks)
        online.answer()
        assert ["qrq", "qrq"] == await asyncio.gather(*both)
        third = asyncio.ensure_future(ask())
        await asyncio.sleep(0)
        assert 2 == online.begun
        online.answer()
        assert "qrq" == await third
        assert 0.0 == clock.monotonic()  # nobody waited for a deadline

    run_virtually(main)


def test_several_rows_and_several_stores_are_not_looked_for() -> None:
    async def main(clock: FakeClock) -> None:
        airline = replace(CONFIG.views["airline"], realtime="nightly")
        weather = replace(CONFIG.views["weather"], batch="")
        config = replace(CONFIG, views={"weather": weather, "airline": airline})
        stores = {"online": NearStore(1.0), "nightly": NearStore(2.0)}
        guards = {n: Guard(n, store, Metrics(), clock, config) for n, store in stores.items()}
        plan = compile_plan(config, SIGNATURE, ("weather", "airline"))
        resolver = Resolver(plan, SIGNATURE, guards, Metrics(), clock, config)
        entities = [{"origin": "JFK", "carrier": "UA"}]
        (answer,) = await resolver.resolve([[1.0, None, None]], entities, [7.0], 100.0)
        assert "qdd" == answer.sources
        rows: list[list[Scalar]] = [[1.0, None, 2.0]] * 2
        others = [{"origin": "LGA", "carrier": "AA"}]
        answers = await resolver.resolve(rows, entities + others, [7.0] * 2, 100.0)
        assert ["qdq"] * 2 == [answer.sources for answer in answers]
        assert [0, 0] == [store.looks for store in stores.values()]

    run_virtually(main)


def test_a_view_with_a_batch_store_alone_is_read_from_it() -> None:
    async def main(clock: FakeClock) -> None:
        view = replace(CONFIG.views["weather"], realtime="")
        config = replace(CONFIG, views={"weather": view})
        guards = {"nightly": Guard("nightly", Store(2.0, 30.0), Metrics(), clock, config)}
        plan = compile_plan(config, SIGNATURE, ("weather",))
        resolver = Resolver(plan, SIGNATURE, guards, Metrics(), clock, config)
        (answer,) = await resolver.resolve([[1.0, None, 1.0]], [{"origin": "JFK"}], [7.0], 100.0)
        assert (answer.values, answer.sources) == ((1.0, 2.0, 1.0), "qbq")

    run_virtually(main)


def test_one_store_may_serve_a_view_twice() -> None:
    async def main(clock: FakeClock) -> None:
        view = replace(CONFIG.views["weather"], batch="online")
        config = replace(CONFIG, views={"weather": view})
        store = Store(1.0)
        store.error = OSError("reset by peer")
        guards = {"online": Guard("online", store, Metrics(), clock, config)}
        plan = compile_plan(config, SIGNATURE, ("weather",))
        resolver = Resolver(plan, SIGNATURE, guards, Metrics(), clock, config)
        (answer,) = await resolver.resolve([[1.0, None, 1.0]], [{"origin": "JFK"}], [7.0], 100.0)
        assert (answer.sources, len(store.asked)) == ("qdq", 2)

    run_virtually(main)


def test_a_batch_read_that_is_not_needed_any_more_is_no_missed_deadline() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.online.delay_ms, world.nightly.delay_ms = 60.0, 900.0
        assert await world.ask() == ("qrq", 60.0)
        await asyncio.sleep(0)
        assert world.nightly.cancelled == 1
        labels = {"model": "", "view": "weather"}
        assert world.sample("ml_feature_deadline_misses_total", **labels) is None

    run_virtually(main)


def test_a_request_that_is_cancelled_takes_its_reads_with_it() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock, "weather", "airline")
        world.online.delay_ms = 90.0
        asking = asyncio.ensure_future(world.ask())
        await asyncio.sleep(0.06)
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.sleep(0)
        assert (asking.cancelled(), world.online.cancelled) == (True, 2)

    run_virtually(main)


def test_a_value_of_another_type_is_counted_and_replaced() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.online.x = "strong"  # type: ignore[assignment]
        assert await world.ask() == ("qbq", 0.0)
        refused = world.sample("ml_feature_refused_total", view="weather", feature="wind")
        assert refused == 1.0

    run_virtually(main)


def test_a_late_failure_is_nobodys_any_more() -> None:
    async def main(clock: FakeClock) -> None:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context)
        )
        world = World(clock)
        world.online.delay_ms, world.online.stubborn = 900.0, True
        world.online.error = OSError("reset by peer")
        await world.ask()
        await asyncio.sleep(20.0)
        gc.collect()
        assert complaints == []

    run_virtually(main)


def test_a_feature_older_than_its_own_limit_comes_from_elsewhere() -> None:
    async def main(clock: FakeClock) -> None:
        view = ViewConfig(
            entity="origin",
            realtime="online",
            features=(
                ViewFeature(name="wind", default=-1.0, ttl_seconds=5.0),
                ViewFeature(name="delay", default=-1.0),
            ),
        )
        stores = {"online": StoreConfig(kind="memory")}
        config = FeaturesConfig(stores=stores, views={"weather": view})
        plan = compile_plan(config, SIGNATURE, ("weather",))
        guards = {"online": Guard("online", Store(1.0), Metrics(), clock, config)}
        resolver = Resolver(plan, SIGNATURE, guards, Metrics(), clock, config)
        (answer,) = await resolver.resolve([[1.0, None, None]], [{"origin": "JFK"}], [7.0], 100.0)
        assert (answer.values, answer.sources) == ((1.0, -1.0, 1.0), "qdr")

    run_virtually(main)
