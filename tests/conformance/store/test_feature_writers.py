"""Many writers at once, the same entities: in PostgreSQL too the newest event stands in the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from trimtab.config import StoreConfig
from trimtab.features.stores import postgres
from trimtab.features.threads import ThreadedStore
from trimtab.testing import FakeClock
from trimtab.types import StoredRow

ENTITIES = [f"o{i}" for i in range(40)]
WRITERS = 4


@pytest.fixture
def address(postgresql: str) -> str:
    with psycopg.connect(postgresql + "postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE writers")
    return postgresql + "writers"


def test_many_writers_at_once_keep_the_order_of_events(address: str) -> None:
    chance = random.Random(7)  # noqa: S311 - a test's own chance
    events = [(chance.choice(ENTITIES), float(at)) for at in chance.sample(range(100_000), 4_000)]

    def opened() -> ThreadedStore:
        return postgres.create(StoreConfig(kind="postgres", url=address), Path(), FakeClock())

    async def write(mine: list[tuple[str, float]]) -> None:
        store = opened()
        for start in range(0, len(mine), 20):
            rows: dict[str, StoredRow] = {}
            for entity, at in mine[start : start + 20]:
                if entity not in rows or rows[entity].event_time < at:
                    rows[entity] = StoredRow(values={"wind": at}, event_time=at)
            await store.write("weather", rows)
        await store.close()

    async def main() -> Mapping[str, StoredRow]:
        async with asyncio.TaskGroup() as group:
            for writer in range(WRITERS):
                group.create_task(write(events[writer::WRITERS]))
        store = opened()
        found = await store.read("weather", ENTITIES)
        await store.close()
        return found

    found = asyncio.run(main())
    newest = {entity: max(at for e, at in events if e == entity) for entity in ENTITIES}
    assert newest == {entity: row.event_time for entity, row in found.items()}
