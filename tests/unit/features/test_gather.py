"""Rows of requests that arrived together are filled together, and told apart again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.errors import InvalidRow
from trimtab.features.gather import MOST_ROWS, Gathered
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.views import compile_plan
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, run_virtually
from trimtab.types import FeatureKind, FeatureSpec, Resolved, Signature, StoredRow, Task

SIGNATURE = Signature(
    features=(
        FeatureSpec(name="amount", kind=FeatureKind.NUMERIC),
        FeatureSpec(name="visits", kind=FeatureKind.NUMERIC),
    ),
    task=Task.BINARY,
)


def config(default: float | None) -> FeaturesConfig:
    view = ViewConfig(
        entity="user", realtime="online", features=(ViewFeature(name="visits", default=default),)
    )
    return FeaturesConfig(stores={"online": StoreConfig(kind="memory")}, views={"users": view})


class Store(MemoryStore):
    """Knows every entity but ``nobody``, and answers after some time."""

    delay_seconds = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:  # noqa: ARG002 - the Protocol's
        self.asked.append(list(entities))
        await asyncio.sleep(self.delay_seconds)
        return {
            entity: StoredRow(values={"visits": float(entity)}, event_time=0.0)
            for entity in entities
            if entity != "nobody"
        }


class NextTurn(Turns):
    """A turn that takes so long."""

    seconds = 0.001

    async def ended(self) -> None:  # type: ignore[override]  # awaited as the other is
        await asyncio.sleep(self.seconds)


class World:
    def __init__(self, clock: FakeClock, default: float | None = -1.0) -> None:
        settings, metrics = config(default), Metrics()
        self.store, self.turn, self.clock = Store(), NextTurn(), clock
        guards = {"online": Guard("online", self.store, metrics, clock, settings)}
        plan = compile_plan(settings, SIGNATURE, ["users"])
        inner = Resolver(plan, SIGNATURE, guards, metrics, clock, settings)
        self.resolver = Gathered(inner, self.turn, clock)

    async def ask(self, *users: str, deadline_ms: float = 100.0) -> Sequence[Resolved]:
        return await self.resolver.resolve(
            [(float(at), None) for at in range(len(users))],
            [{"user": user} for user in users],
            [60.0] * len(users),
            deadline_ms,
        )


def values(found: Sequence[Resolved]) -> list[tuple[object, ...]]:
    return [row.values for row in found]


def test_requests_of_one_turn_share_a_read_and_each_has_its_rows() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        found = await asyncio.gather(world.ask("1"), world.ask("2", "3"), world.ask("1"))
        assert [["1", "2", "3"]] == world.store.asked
        assert [[(0.0, 1.0)], [(0.0, 2.0), (1.0, 3.0)], [(0.0, 1.0)]] == [*map(values, found)]
        assert {(None, 60.0)} == {row.ages_seconds for rows in found for row in rows}

    run_virtually(main)


def test_a_request_of_another_turn_is_read_for_itself() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        await world.ask("1")
        await world.ask("2")
        assert [["1"], ["2"]] == world.store.asked
        assert not world.resolver._waiting

    run_virtually(main)


def test_many_rows_and_other_deadlines_read_for_themselves() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        many = [str(at) for at in range(MOST_ROWS + 1)]
        await asyncio.gather(world.ask("1", deadline_ms=50.0), world.ask("2"), world.ask(*many))
        assert 3 == len(world.store.asked)

    run_virtually(main)


def test_a_row_that_cannot_be_filled_fails_its_own_request_alone_by_its_own_path() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock, default=None)
        first, second, third = await asyncio.gather(
            world.ask("1"), world.ask("2", "nobody"), world.ask("3"), return_exceptions=True
        )
        assert isinstance(second, InvalidRow)
        assert ("feature_unavailable", "rows[1].features.visits") == (second.code, second.path)
        assert [1.0, 3.0] == [
            rows[0].values[1] for rows in (first, third) if not isinstance(rows, BaseException)
        ]

    run_virtually(main)


@pytest.mark.parametrize("together", [1, 3])
def test_the_deadline_counts_from_when_a_request_asked(together: int) -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.turn.seconds, world.store.delay_seconds = 0.04, 1.0
        started = clock.monotonic()
        found = await asyncio.gather(*(world.ask(str(at)) for at in range(together)))
        assert pytest.approx(0.1) == clock.monotonic() - started
        assert {"qd"} == {rows[0].sources for rows in found}

    run_virtually(main)


def test_whoever_leads_may_be_cancelled_and_the_others_are_answered() -> None:
    async def main(clock: FakeClock) -> None:
        world = World(clock)
        world.store.delay_seconds = 0.01
        leader = asyncio.ensure_future(world.ask("1"))
        other = asyncio.ensure_future(world.ask("2"))
        await asyncio.sleep(0.005)
        leader.cancel()
        assert [(0.0, 2.0)] == values(await other)
        assert leader.cancelled()

    run_virtually(main)
