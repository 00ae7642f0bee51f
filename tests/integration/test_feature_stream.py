"""A stream of feature events on a real Redis, and many writers at once on real stores."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from trimtab.config import StoreConfig, ViewConfig, ViewFeature
from trimtab.errors import Unavailable
from trimtab.features.stores import redis as redis_store
from trimtab.features.stores import sqlite as sqlite_store
from trimtab.features.streams import Intake, StreamOptions
from trimtab.features.streams.redis import RedisStream
from trimtab.features.writing import RowReader, Tally, Written
from trimtab.protocols import FeatureStore
from trimtab.testing import FakeClock
from trimtab.types import StoredRow

WEATHER = ViewConfig(entity="origin", realtime="online", features=(ViewFeature(name="wind"),))
STREAM = "weather:events"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A Redis of our own."""
    program = shutil.which("redis-server")
    assert program is not None, "redis-server is needed: apt-get install redis-server"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "eady to accept connections" in line:
            break
    yield f"redis://127.0.0.1:{port}/0"
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def client(url: str) -> Iterator[Redis]:
    with Redis.from_url(url, protocol=2) as opened:
        opened.flushall()
        yield opened


class Brittle:
    """A store whose first writes fail after they were carried out."""

    def __init__(self, store: FeatureStore, failures: int) -> None:
        self.store = store
        self.failures = failures

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        return await self.store.read(view, entities)

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        kept = await self.store.write(view, rows)
        if self.failures:
            self.failures -= 1
            raise Unavailable("the connection broke", code="store_unavailable")
        return kept

    async def ping(self) -> None:
        await self.store.ping()

    async def close(self) -> None:
        await self.store.close()


def add(client: Redis, origin: str, at: float, wind: object) -> None:
    row = {"origin": origin, "event_time": at, "wind": wind}
    client.xadd(STREAM, {"row": json.dumps(row)})


async def consume(
    url: str, consumer: str = "one", failures: int = 0, claim_seconds: float = 60.0
) -> tuple[Written, Mapping[str, StoredRow]]:
    store = redis_store.create(StoreConfig(kind="redis", url=url), Path(), FakeClock())
    options = StreamOptions(
        url=url, stream=STREAM, consumer=consumer, claim_seconds=claim_seconds, batch_rows=3
    )
    tally = Tally()
    reader = RowReader(WEATHER, FakeClock(), "event_time")
    stream = RedisStream(options, Intake("weather", reader, Brittle(store, failures), tally))
    try:
        await stream.run(asyncio.Event(), until_empty=True)
        return tally.written(), await store.read("weather", ["JFK", "LGA"])
    finally:
        await stream.close()
        await store.close()


def test_events_are_stored_and_acknowledged(url: str, client: Redis) -> None:
    for at, wind in ((3.0, 3.0), (1.0, 1.0), (2.0, 2.0)):
        add(client, "JFK", at, wind)
    add(client, "LGA", 1.0, 5.0)
    written, rows = asyncio.run(consume(url))
    assert (written.rows, written.refused) == (4, 0)
    assert rows == {
        "JFK": StoredRow(values={"wind": 3.0}, event_time=3.0),
        "LGA": StoredRow(values={"wind": 5.0}, event_time=1.0),
    }
    assert client.xpending(STREAM, "trimtab")["pending"] == 0
    assert asyncio.run(consume(url))[0] == Written()


def test_what_a_dead_consumer_left_is_taken_over(url: str, client: Redis) -> None:
    for at in range(7):
        add(client, "JFK", float(at), float(at))
    with pytest.raises(Unavailable):
        asyncio.run(consume(url, "dies", failures=1))
    assert client.xpending(STREAM, "trimtab")["pending"] == 3
    written, rows = asyncio.run(consume(url, "heir", claim_seconds=0.001))
    assert written.rows == 7
    assert rows["JFK"].event_time == 6.0
    assert client.xpending(STREAM, "trimtab")["pending"] == 0


def test_what_cannot_be_stored_is_put_aside_with_its_reason(url: str, client: Redis) -> None:
    add(client, "JFK", 1.0, 1.0)
    client.xadd(STREAM, {"row": "no JSON"})
    client.xadd(STREAM, {"other": "field"})
    add(client, "", 1.0, 1.0)
    add(client, "LGA", 1.0, "strong")
    written, rows = asyncio.run(consume(url))
    assert (written.rows, written.refused, written.values_refused) == (5, 3, {"wind": 1})
    assert rows["LGA"].values == {}
    aside: Any = client.xrange(f"{STREAM}:refused")
    assert len(aside) == 3
    assert b"no JSON object" in aside[0][1][b"reason"]
    assert b"The entry has no row." in aside[1][1][b"reason"]
    assert aside[0][1][b"row"] == b"no JSON"
    assert client.xpending(STREAM, "trimtab")["pending"] == 0


def test_a_stream_that_cannot_be_reached_is_an_error_that_says_so() -> None:
    with pytest.raises(Unavailable) as caught:
        asyncio.run(consume("redis://127.0.0.1:1/0"))
    assert caught.value.code == "stream_unavailable"


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_many_writers_at_once_keep_the_order_of_events(
    kind: str, url: str, client: Redis, tmp_path: Path
) -> None:
    """Six writers with connections of their own, the same entities, times drawn at random."""
    client.ping()
    entities = [f"o{i}" for i in range(40)]
    chance = random.Random(7)  # noqa: S311 - a test's own chance
    events = [(chance.choice(entities), float(at)) for at in chance.sample(range(100_000), 3_000)]

    def opened() -> FeatureStore:
        if kind == "redis":
            return redis_store.create(StoreConfig(kind="redis", url=url), Path(), FakeClock())
        return sqlite_store.create(StoreConfig(kind="sqlite"), tmp_path, FakeClock())

    async def write(mine: list[tuple[str, float]]) -> None:
        store = opened()
        for start in range(0, len(mine), 10):
            rows: dict[str, StoredRow] = {}
            for entity, at in mine[start : start + 10]:
                if entity not in rows or rows[entity].event_time < at:
                    rows[entity] = StoredRow(values={"wind": at}, event_time=at)
            await store.write("weather", rows)
        await store.close()

    async def main() -> Mapping[str, StoredRow]:
        async with asyncio.TaskGroup() as group:
            for writer in range(6):
                group.create_task(write(events[writer::6]))
        store = opened()
        found = await store.read("weather", entities)
        await store.close()
        return found

    found = asyncio.run(main())
    newest = {entity: max(at for e, at in events if e == entity) for entity in entities}
    assert {entity: row.event_time for entity, row in found.items()} == newest
    assert all(row.values == {"wind": row.event_time} for row in found.values())


def test_the_command_says_what_it_reads_and_what_it_refuses_until_it_is_stopped(
    url: str, client: Redis, tmp_path: Path
) -> None:
    (tmp_path / "trimtab.toml").write_text(
        '[features.stores.online]\nkind = "sqlite"\n'
        '[features.views.weather]\nentity = "origin"\nrealtime = "online"\n'
        'features = [{ name = "wind" }]\n'
    )
    add(client, "JFK", 5.0, 7.5)
    client.xadd(STREAM, {"row": '{"origin": "JFK", "wi'})
    asked = ("weather", "--url", url, "--stream", STREAM, "--consumer", "one", "--json")
    running = subprocess.Popen(
        [sys.executable, "-m", "trimtab.cli", "features", "consume", *asked],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    begun, refused = running.stderr.readline(), running.stderr.readline()
    running.send_signal(signal.SIGINT)
    told, _ = running.communicate()
    assert f"note: reading {STREAM} as one of the group trimtab  (Ctrl-C stops)\n" == begun
    assert refused.startswith("note: refused: The row is no JSON object")
    assert (0, 2, 1) == (running.returncode, *(json.loads(told)[n] for n in ("rows", "kept")))
