"""Reads that are shared, hedged, and stood in for by the cache; in virtual time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from trimtab.config import CacheConfig, FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.views import compile_plan
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, run_virtually
from trimtab.types import FeatureKind, FeatureSpec, Signature, StoredRow, Task

SIGNATURE = Signature(
    features=(FeatureSpec(name="wind", kind=FeatureKind.NUMERIC),), task=Task.BINARY
)
CONFIG = FeaturesConfig(
    deadline_ms=100.0,
    breaker_failures=3,
    breaker_seconds=2.0,
    stores={"online": StoreConfig(kind="memory")},
    views={
        "weather": ViewConfig(
            entity="origin", realtime="online", features=(ViewFeature(name="wind", default=-1.0),)
        )
    },
)


class Store(MemoryStore):
    """Takes as long for each read as it was told, then answers 1, 2, 3 …"""

    def __init__(self) -> None:
        super().__init__()
        self.delays_ms: list[float] = []
        self.error: Exception | None = None
        self.asked: list[tuple[str, ...]] = []
        self.cancelled = 0
        self.absent: set[str] = set()

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:  # noqa: ARG002
        self.asked.append(tuple(entities))
        number, error = len(self.asked), self.error
        try:
            await asyncio.sleep((self.delays_ms.pop(0) if self.delays_ms else 10.0) / 1e3)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if error is not None:
            raise error
        row = StoredRow(values={"wind": float(number)}, event_time=0.0)
        return {entity: row for entity in entities if entity not in self.absent}


class World:
    def __init__(
        self, clock: FakeClock, cache: CacheConfig | None = None, **settings: float
    ) -> None:
        self.clock = clock
        self.metrics = Metrics()
        self.store = Store()
        config = replace(
            CONFIG, stores={"online": StoreConfig(kind="memory", cache=cache)}, **settings
        )
        self.guards = {"online": Guard("online", self.store, self.metrics, clock, config)}
        plan = compile_plan(config, SIGNATURE, ["weather"])
        self.resolver = Resolver(plan, SIGNATURE, self.guards, self.metrics, clock, config, "model")

    async def ask(self, *origins: str) -> tuple[list[object], str, float]:
        """Values, sources and milliseconds."""
        started = self.clock.monotonic()
        answers = await self.resolver.resolve(
            [[None] for _ in origins], [{"origin": o} for o in origins], [7.0] * len(origins), 100.0
        )
        took = round((self.clock.monotonic() - started) * 1e3, 6)
        return [a.values[0] for a in answers], "".join(a.sources for a in answers), took

    def sample(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def test_requests_that_ask_the_same_share_one_read() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        answers = await asyncio.gather(*(world.ask("JFK") for _ in range(5)), world.ask("LGA"))
        assert answers == [([1.0], "r", 10.0)] * 5 + [([2.0], "r", 10.0)]
        assert world.store.asked == [("JFK",), ("LGA",)]
        assert world.sample("ml_feature_reads_shared_total", store="online") == 4.0
        assert await world.ask("JFK") == ([3.0], "r", 10.0)

    run_virtually(main)


def test_requests_that_overlap_share_what_is_under_way_and_read_the_rest() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.store.delays_ms = [20.0, 20.0, 5.0]
        first = asyncio.ensure_future(world.ask("ATL", "BOS"))
        second = asyncio.ensure_future(world.ask("CLT", "DFW"))
        await asyncio.sleep(0.001)
        assert await world.ask("DFW", "EWR", "ATL") == ([2.0, 3.0, 1.0], "rrr", 19.0)
        assert await first == ([1.0, 1.0], "rr", 20.0)
        assert await second == ([2.0, 2.0], "rr", 20.0)
        assert world.store.asked == [("ATL", "BOS"), ("CLT", "DFW"), ("EWR",)]
        assert world.sample("ml_feature_reads_shared_total", store="online") == 2.0
        assert await world.ask("ATL") == ([4.0], "r", 10.0)

    run_virtually(main)


def test_what_overlaps_and_comes_in_time_is_taken_though_the_rest_does_not() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.store.delays_ms = [20.0, 900.0]
        first = asyncio.ensure_future(world.ask("ATL"))
        await asyncio.sleep(0.001)
        assert await world.ask("ATL", "BOS") == ([1.0, -1.0], "rd", 100.0)
        assert await first == ([1.0], "r", 20.0)
        world.store.delays_ms = [20.0, 10.0]
        world.store.error = OSError("reset by peer")
        first = asyncio.ensure_future(world.ask("ATL"))
        await asyncio.sleep(0.001)
        world.store.error = None
        assert await world.ask("ATL", "BOS") == ([-1.0, 4.0], "dr", 19.0)
        assert await first == ([-1.0], "d", 20.0)

    run_virtually(main)


def test_of_many_reads_under_way_only_some_are_joined() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        names = [f"A{i}" for i in range(12)]
        asking = [asyncio.ensure_future(world.ask(name)) for name in names]
        await asyncio.sleep(0.001)
        answer, sources, _ = await world.ask(*names)
        assert (answer, sources) == (
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, *[13.0] * 4],
            "r" * 12,
        )
        await asyncio.gather(*asking)
        assert world.store.asked[12:] == [tuple(names[8:])]

    run_virtually(main)


def test_a_shared_read_goes_on_while_anybody_waits_and_fails_once() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        first, second = (asyncio.ensure_future(world.ask("JFK")) for _ in range(2))
        await asyncio.sleep(0.001)
        first.cancel()
        assert await second == ([1.0], "r", 10.0)
        assert world.store.cancelled == 0
        world.store.error = OSError("reset by peer")
        answers = await asyncio.gather(*(world.ask("JFK") for _ in range(4)))
        assert answers == [([-1.0], "d", 10.0)] * 4
        assert world.sample("ml_feature_store_failures_total", store="online") == 1.0

    run_virtually(main)


def test_a_read_that_has_hung_is_not_joined() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.store.delays_ms = [900.0, 10.0]
        hanging = asyncio.ensure_future(world.ask("JFK"))
        await asyncio.sleep(0.03)
        assert await world.ask("JFK") == ([2.0], "r", 10.0)
        assert await hanging == ([-1.0], "d", 100.0)

    run_virtually(main)


async def warm(world: World) -> None:
    for _ in range(64):
        await world.ask("JFK")
    world.store.asked.clear()


def test_a_slow_read_is_sent_again_and_the_first_answer_wins() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        await warm(world)
        world.store.delays_ms = [900.0, 5.0]
        assert await world.ask("JFK") == ([2.0], "r", 15.0)
        await asyncio.sleep(0.001)
        assert (len(world.store.asked), world.store.cancelled) == (2, 1)
        assert world.sample("ml_feature_hedges_total", store="online", result="sent") == 1.0
        assert world.sample("ml_feature_hedges_total", store="online", result="won") == 1.0
        assert world.sample("ml_feature_store_failures_total", store="online") is None
        assert world.sample("ml_feature_reads_abandoned", store="online") == 0.0
        world.store.delays_ms = [12.0, 50.0]
        assert await world.ask("JFK") == ([3.0], "r", 12.0)
        assert world.sample("ml_feature_hedges_total", store="online", result="won") == 1.0

    run_virtually(main)


def test_a_failed_first_read_leaves_its_second_attempt_to_answer() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        await warm(world)
        world.store.delays_ms = [20.0, 30.0]
        world.store.error = OSError("reset by peer")
        asking = asyncio.ensure_future(world.ask("JFK"))
        await asyncio.sleep(0.005)
        world.store.error = None
        assert await asking == ([2.0], "r", 40.0)

    run_virtually(main)


def test_both_attempts_may_fail_at_one_moment_without_complaint() -> None:
    async def main(clock: FakeClock) -> None:
        complaints: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        world = World(clock)
        await warm(world)
        world.store.delays_ms = [20.0, 10.0]
        world.store.error = OSError("reset by peer")
        assert await world.ask("JFK") == ([-1.0], "d", 20.0)
        assert len(world.store.asked) == 2
        await asyncio.sleep(1.0)
        gc.collect()
        assert complaints == []

    run_virtually(main)


def test_hedges_are_bounded_when_everything_is_slow() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        await warm(world)
        world.store.delays_ms = [20.0] * 1_000
        for _ in range(200):
            await world.ask("JFK")
        assert len(world.store.asked) <= 200 * 1.05 + 64 * 0.05

    run_virtually(main)


CACHE = CacheConfig(stale_seconds=10.0, fresh_ms=0.0, absent_ms=1_000.0)


def test_a_stale_row_stands_in_while_the_store_fails_and_says_its_age() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock, CACHE)
        assert await world.ask("JFK") == ([1.0], "r", 10.0)
        world.store.error = OSError("reset by peer")
        assert await world.ask("JFK", "LGA") == ([1.0, -1.0], "rd", 10.0)
        world.store.error, world.store.delays_ms = None, [900.0] * 9
        assert await world.ask("JFK") == ([1.0], "r", 100.0)
        assert await world.ask("JFK") == ([1.0], "r", 100.0)
        assert await world.ask("JFK") == ([1.0], "r", 0.0)
        assert world.sample("ml_feature_cache_total", store="online", result="stale") == 4.0
        await asyncio.sleep(10.0)
        assert await world.ask("JFK") == ([-1.0], "d", 100.0)

    run_virtually(main)


def test_who_leaves_a_shared_read_takes_what_stands_in_for_it() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock, CACHE)
        assert await world.ask("JFK") == ([1.0], "r", 10.0)
        world.store.delays_ms = [105.0]
        first = asyncio.ensure_future(world.ask("JFK"))
        await asyncio.sleep(0.020)
        second = asyncio.ensure_future(world.ask("JFK"))
        assert await first == ([1.0], "r", 100.0)
        assert await second == ([2.0], "r", 85.0)
        assert world.store.cancelled == 0

    run_virtually(main)


def test_absent_entities_are_not_asked_for_again_at_once() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock, CACHE)
        world.store.absent = {"LGA"}
        assert await world.ask("LGA") == ([-1.0], "d", 10.0)
        assert await world.ask("LGA") == ([-1.0], "d", 0.0)
        assert await world.ask("LGA", "JFK") == ([-1.0, 2.0], "dr", 10.0)
        assert world.store.asked == [("LGA",), ("JFK",)]
        await asyncio.sleep(1.0)
        world.store.absent = set()
        assert await world.ask("LGA") == ([3.0], "r", 10.0)

    run_virtually(main)


def test_fresh_rows_spare_the_read() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock, replace(CACHE, fresh_ms=500.0))
        assert await world.ask("JFK") == ([1.0], "r", 10.0)
        assert await world.ask("JFK") == ([1.0], "r", 0.0)
        await asyncio.sleep(0.5)
        assert await world.ask("JFK") == ([2.0], "r", 10.0)
        assert world.sample("ml_feature_cache_total", store="online", result="fresh") == 1.0

    run_virtually(main)


def test_sources_ages_and_missed_deadlines_are_counted_by_view() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        await world.ask("JFK", "LGA")
        world.store.delays_ms = [900.0]
        await world.ask("JFK")
        labels = {"model": "model", "view": "weather"}
        assert world.sample("ml_feature_source_total", source="realtime", **labels) == 2.0
        assert world.sample("ml_feature_source_total", source="default", **labels) == 1.0
        assert world.sample("ml_feature_deadline_misses_total", **labels) == 1.0
        assert world.sample("ml_feature_age_seconds_sum", **labels) == 7.0
        assert world.sample("ml_feature_age_seconds_count", **labels) == 1.0

    run_virtually(main)
