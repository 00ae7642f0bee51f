"""Law 10 against a real Redis that is stopped, killed, restarted, or replaced by something odd."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.errors import Unavailable
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores import redis
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.views import compile_plan
from trimtab.protocols import FeatureStore
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import FeatureKind, FeatureSpec, Signature, StoredRow, Task

DEADLINE_MS = 40.0
SLACK_MS = 20.0  # for a busy machine; that the deadline is exact is shown in virtual time
BREAKER_SECONDS = 30.0
VIEW = ViewConfig(
    entity="origin",
    realtime="online",
    batch="nightly",
    features=(ViewFeature(name="wind"), ViewFeature(name="snow", default=0.0)),
)
CONFIG = FeaturesConfig(
    deadline_ms=DEADLINE_MS,
    breaker_failures=3,
    breaker_seconds=BREAKER_SECONDS,
    stores={name: StoreConfig(kind=name) for name in ("online", "nightly")},
    views={"weather": VIEW},
)
SIGNATURE = Signature(
    features=tuple(FeatureSpec(name=n, kind=FeatureKind.NUMERIC) for n in ("wind", "snow")),
    task=Task.BINARY,
)


class SkippingClock:
    """The real time, and what a test lets pass beside it."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def now(self) -> float:
        return time.time() + self.skipped

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped


class Server:
    """A Redis of our own."""

    def __init__(self) -> None:
        program = shutil.which("redis-server")
        assert program is not None, "redis-server is needed: apt-get install redis-server"
        self.program = program
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            [self.program, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "eady to accept connections" in line:
                break
        return self.process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.kill()


class World:
    """A resolver over Redis and a batch snapshot."""

    def __init__(self, url: str) -> None:
        self.clock = SkippingClock()
        self.metrics = Metrics()
        config = StoreConfig(kind="redis", url=url)
        online = redis.create(config, Path(), FakeClock())
        assert isinstance(online, redis.RedisStore)
        self.online = online
        self.nightly = MemoryStore()
        stores: dict[str, FeatureStore] = {"online": self.online, "nightly": self.nightly}
        guards = {
            n: Guard(n, store, self.metrics, self.clock, CONFIG) for n, store in stores.items()
        }
        plan = compile_plan(CONFIG, SIGNATURE, ["weather"])
        self.resolver = Resolver(plan, SIGNATURE, guards, self.metrics, self.clock, CONFIG)
        self.took_ms: list[float] = []

    async def fill(self) -> None:
        await self.online.write("weather", {"JFK": StoredRow(values={"wind": 1.0}, event_time=9.0)})
        await self.nightly.write(
            "weather", {"JFK": StoredRow(values={"wind": 2.0}, event_time=4.0)}
        )

    async def ask(self) -> str:
        started = time.monotonic()
        (answer,) = await self.resolver.resolve(
            [[None, None]], [{"origin": "JFK"}], [10.0], DEADLINE_MS
        )
        self.took_ms.append((time.monotonic() - started) * 1e3)
        return answer.sources

    def breaker_open(self) -> float | None:
        return self.metrics.registry.get_sample_value(
            "ml_feature_breaker_open", {"store": "online"}
        )


@pytest.mark.anyio
async def test_a_redis_that_hangs_and_comes_back(server: Server) -> None:
    world = World(server.url)
    await world.fill()
    assert await world.ask() == "rd"
    server.process.send_signal(signal.SIGSTOP)
    try:
        world.took_ms.clear()
        assert [await world.ask() for _ in range(3)] == ["bd"] * 3
        assert world.breaker_open() == 1.0
        assert DEADLINE_MS <= median(world.took_ms) <= DEADLINE_MS + SLACK_MS
        for _ in range(4):
            world.clock.skipped += BREAKER_SECONDS
            assert await world.ask() == "bd"
        assert median(world.took_ms) <= DEADLINE_MS + SLACK_MS
        world.took_ms.clear()
        assert [await world.ask() for _ in range(20)] == ["bd"] * 20
        assert median(world.took_ms) < SLACK_MS
    finally:
        server.process.send_signal(signal.SIGCONT)
    world.clock.skipped += BREAKER_SECONDS
    assert [await world.ask() for _ in range(20)] == ["rd"] * 20
    assert world.breaker_open() == 0.0
    await world.online.close()


@pytest.mark.anyio
async def test_a_redis_that_is_killed_and_started_again(server: Server) -> None:
    world = World(server.url)
    await world.fill()
    assert await world.ask() == "rd"
    server.kill()
    world.took_ms.clear()
    assert [await world.ask() for _ in range(30)] == ["bd"] * 30
    assert median(world.took_ms) < SLACK_MS
    assert world.breaker_open() == 1.0
    with pytest.raises(Unavailable) as caught:
        await world.online.ping()
    assert caught.value.code == "store_unavailable"
    with pytest.raises(Unavailable):
        await world.fill()
    server.start()
    await world.fill()
    world.clock.skipped += BREAKER_SECONDS
    assert [await world.ask() for _ in range(20)] == ["rd"] * 20
    assert world.breaker_open() == 0.0
    await world.online.close()


@pytest.mark.anyio
async def test_many_at_once_while_redis_hangs(server: Server) -> None:
    world = World(server.url)
    await world.fill()
    server.process.send_signal(signal.SIGSTOP)
    try:
        answers = await asyncio.gather(*(world.ask() for _ in range(200)))
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert set(answers) == {"bd"}
    world.clock.skipped += BREAKER_SECONDS
    assert await world.ask() == "rd"
    assert [await world.ask() for _ in range(20)] == ["rd"] * 20
    assert len(world.online._client.connection_pool._in_use_connections) == 0
    await world.online.close()


@pytest.mark.anyio
async def test_rows_that_are_no_rows_are_absent(server: Server) -> None:
    world = World(server.url)
    await world.fill()
    await world.online._client.set("trimtab:weather:JFK", b"somebody else's")
    assert await world.ask() == "bd"
    await world.online.close()


JUNK: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("text", lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ("zeros", lambda _: b"\x00" * 64),
    ("another type", lambda _: b"+OK\r\n"),
    ("a short list", lambda _: b"*0\r\n"),
    ("a list of another type", lambda _: b"*1\r\n:7\r\n"),
    ("an error", lambda _: b"-WRONGTYPE no\r\n"),
    ("half a reply", lambda _: b"*1\r\n$100\r\nabc"),
    ("nothing", lambda _: b""),
]


@pytest.mark.anyio
@pytest.mark.parametrize("closes", [True, False], ids=["closes", "stays"])
@pytest.mark.parametrize(("name", "junk"), JUNK, ids=[name for name, _ in JUNK])
async def test_something_that_is_no_redis(
    name: str, junk: Callable[[bytes], bytes], closes: bool
) -> None:
    answering: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.add(asyncio.current_task())
        while data := await reader.read(65_536):
            if b"MGET" in data:
                writer.write(junk(data))
                if closes:
                    break
            else:
                writer.write(b"+OK\r\n" * data.count(b"\r\n*", 0, -1) + b"+OK\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        world = World(f"redis://127.0.0.1:{port}/0")
        await world.nightly.write(
            "weather", {"JFK": StoredRow(values={"wind": 2.0}, event_time=4.0)}
        )
        assert [await world.ask() for _ in range(4)] == ["bd"] * 4, name
        assert median(world.took_ms) <= DEADLINE_MS + SLACK_MS
        await world.online.close()
        await asyncio.gather(*filter(None, answering), return_exceptions=True)
