from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from trimtab.config import FeaturesConfig, StoreConfig
from trimtab.errors import InvalidConfig, Unavailable
from trimtab.features.flight import Bell, Flight, Flock
from trimtab.features.guard import Guard
from trimtab.features.stores import postgres
from trimtab.features.threads import DaemonPool
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock, check_feature_store
from trimtab.types import StoredRow


@pytest.mark.anyio
async def test_postgres_keeps_the_laws_of_a_feature_store(postgresql: str, tmp_path: Path) -> None:
    config = StoreConfig(kind="postgres", url=postgresql + "postgres")
    await check_feature_store(lambda: postgres.create(config, tmp_path, FakeClock()))


class CountingPool(DaemonPool):
    """Counts the calls that go to the server."""

    calls = 0

    def submit(self, call: Callable[..., Any], *args: object) -> Future[Any]:
        self.calls += 1
        return super().submit(call, *args)


class Asker:
    """Asks for rows of one view, and keeps its read."""

    def __init__(self, view: str, entities: Sequence[str]) -> None:
        self.asked = (view, entities)
        self.flights: list[Flight | Flock] = []

    def board(self, flight: Flight | Flock) -> None:
        self.flights.append(flight)


@pytest.mark.anyio
async def test_what_several_views_want_is_one_statement(postgresql: str) -> None:
    pool = CountingPool("postgres", lambda _: None, threads=1)
    inner = postgres.PostgresStore(postgresql + "postgres", 2.0)
    store = postgres.ThreadedPostgres(inner, pool)
    rows = {e: StoredRow(values={"x": 1.0}, event_time=1.0) for e in ("e", "f")}
    for view in ("one", "two"):
        await store.write(view, rows)
    guard = Guard("online", store, Metrics(), FakeClock(), FeaturesConfig())
    bell, before = Bell(), pool.calls
    askers = [Asker("one", ["e", "nobody"]), Asker("two", ["f"])]
    guard.start(askers, bell)
    flights = [asker.flights[0] for asker in askers]
    while not all(flight.done for flight in flights):
        await bell.wait(1.0)
    assert [dict(flight.rows) for flight in flights] == [{"e": rows["e"]}, {"f": rows["f"]}]
    assert pool.calls - before == 1
    await guard.close()


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    config = StoreConfig(kind="postgres", url="postgresql://nobody@127.0.0.1:1/none")
    store = postgres.create(config, tmp_path, FakeClock())
    with pytest.raises(Unavailable) as caught:
        await store.read("v", ["e"])
    assert caught.value.code == "store_unavailable"
    assert caught.value.message.endswith("Connection refused.")
    await store.close()


def test_a_url_that_is_none_is_refused_without_being_printed(tmp_path: Path) -> None:
    config = StoreConfig(kind="postgres", url="password=secret whatever")
    with pytest.raises(InvalidConfig) as caught:
        postgres.create(config, tmp_path, FakeClock())
    assert "secret" not in str(caught.value)


def test_a_store_that_was_closed_opens_no_connection_any_more(postgresql: str) -> None:
    store = postgres.PostgresStore(postgresql + "postgres", 2.0)
    store.close()
    with pytest.raises(Unavailable, match="was closed"):
        store.read("v", ["e"])
