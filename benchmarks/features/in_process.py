"""`get_online_features` of Feast beside our feature step, in process: alone, 16 at a time, and from embedded stores.

Both read the same 20 numbers; they are asked in turns, from one core, Redis on the other. Floors stand beside: what
nobody can go below who waits for the reply of another process, whatever he does with it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple, cast

import hiredis
import redis
import uvloop
from support import (
    NAMES,
    RedisServer,
    at_once,
    numbers_config,
    resolver,
    rows_of,
)

from trimtab.config import StoreConfig
from trimtab.features.gather import Gathered
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores import lmdb, sqlite
from trimtab.features.stores import redis as redis_store
from trimtab.protocols import FeatureResolver, FeatureStore
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics
from trimtab.wiring.clock import SystemClock

ENTITIES = 1_000
AT_ONCE = 16
ROUNDS = 12
COMMAND = hiredis.pack_command(("MGET", "trimtab:numbers:e0"))


class Took(NamedTuple):
    """Seconds: a call's median, and what each of them cost of the time in which all were made."""

    median: float
    each: float


Way = Callable[[int], Awaitable[Took]]
"""Makes so many calls."""


class Feast:
    """Feast in a process of its own, which times what it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def way(self, online: str, way: str = "alone", count: int = 1) -> Way:
        async def ask(calls: int) -> Took:
            process = self._process
            assert process.stdin is not None
            assert process.stdout is not None
            asked = {"online": online, "way": way, "count": count, "calls": calls}
            process.stdin.write(f"{json.dumps(asked)}\n")
            process.stdin.flush()
            return Took(**json.loads(process.stdout.readline()))

        return ask


@contextmanager
def feast_in_process(python: str, folder: Path, redis_port: int) -> Iterator[Feast]:
    """Feast over repositories of its own in the folder, on Redis and on SQLite."""
    peer = Path(__file__).with_name("feast_peer.py")
    command = [python, peer, folder, str(redis_port)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield Feast(process)
        process.stdin.close()


def alone(call: Callable[[], Awaitable[object]]) -> Way:
    async def ask(calls: int) -> Took:
        taken, first = [], time.perf_counter()
        for _ in range(calls):
            began = time.perf_counter()
            await call()
            taken.append(time.perf_counter() - began)
        return Took(median(taken), (time.perf_counter() - first) / calls)

    return ask


def step(model: FeatureResolver, count: int) -> Way:
    """Our feature step for so many entities."""
    missing = [[None] * len(NAMES) for _ in range(count)]
    entities = [{"user": f"e{at}"} for at in range(count)]

    async def call() -> object:
        return await model.resolve(missing, entities, [10.0] * count, 100.0)

    return alone(call)


def at_a_time(model: FeatureResolver) -> Way:
    """Our feature step for one entity, by 16 at a time."""

    async def ask(calls: int) -> Took:
        taken: list[float] = []

        async def one(first: int) -> None:
            for at in range(first, calls, AT_ONCE):
                began, user = time.perf_counter(), f"e{at % ENTITIES}"
                await model.resolve([[None] * len(NAMES)], [{"user": user}], [10.0], 100.0)
                taken.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*map(one, range(AT_ONCE)))
        return Took(median(taken), (time.perf_counter() - began) / calls)

    return ask


def bare(port: int) -> Callable[[], object]:
    """One command, written and its reply received on a socket that blocks; nothing is parsed."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call() -> object:
        connection.sendall(COMMAND)
        return connection.recv(65_536)

    return call


def polled(port: int) -> Callable[[], object]:
    """The same on a socket that never blocks: the reply is asked for until it is there."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)

    def call() -> object:
        connection.send(COMMAND)
        while True:
            with suppress(BlockingIOError):
                return connection.recv(65_536)

    return call


class ByHand(asyncio.Protocol):
    """The same on an event loop: one write, one callback, one future."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._reply: asyncio.Future[bytes] | None = None

    def data_received(self, data: bytes) -> None:
        if self._reply is not None:
            self._reply.set_result(data)

    async def call(self) -> bytes:
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(COMMAND)
        return await self._reply


async def of(store: FeatureStore) -> Resolver:
    """The feature step over a store that holds the rows."""
    await store.write("numbers", rows_of(ENTITIES))
    clock, metrics, config = SystemClock(), Metrics(), numbers_config()
    guards = {"online": Guard("online", store, metrics, clock, config)}
    return resolver(config, guards, metrics, clock)


async def in_turns(ways: dict[str, Way], calls: int) -> dict[str, Took]:
    """Medians of some rounds, behind one that does not count."""
    found: dict[str, list[Took]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            took = await way(calls)
            if number:
                found[name].append(took)
    return {name: Took(*map(median, zip(*all_, strict=True))) for name, all_ in found.items()}


def show(title: str, took: dict[str, Took], feast: Sequence[str], aim: str = "") -> None:
    """Each way in a line, and how many times what Feast takes it is below that.

    One read after another is compared by its median, several at a time by how many there are in a second.
    """
    print(title)
    for name, one in took.items():
        ratios = [
            took[peer].each / one.each if len(feast) > 1 else took[peer].median / one.median
            for peer in feast
        ]
        named = [f"{ratio:5.1f} x of {peer}" for ratio, peer in zip(ratios, feast, strict=True)]
        told = "" if name in feast else f"   {', '.join(named)}"
        wanted = aim if name.startswith("trimtab") else ""
        print(
            f"  {name:38} {one.median * 1e6:8,.0f} us, {1 / one.each:9,.0f} reads/s{told}{wanted}"
        )


async def measure(server: RedisServer, feast: Feast, folder: Path, cores: Sequence[int]) -> None:
    """Print all of it; Redis runs on the last of the cores, we on the first."""
    store = redis_store.create(
        StoreConfig(kind="redis", url=server.url), folder / "none", SystemClock()
    )
    online = await of(store)
    turns = Gathered(online, Turns(), SystemClock())
    _, by_hand = await asyncio.get_running_loop().create_connection(
        ByHand, "127.0.0.1", server.port
    )
    plain = redis.Redis(port=server.port)
    one: dict[str, Way] = {
        "floor: a bare socket": alone(at_once(bare(server.port))),
        "floor: a bare socket, polled": alone(at_once(polled(server.port))),
        "floor: by hand on uvloop": alone(by_hand.call),
        "redis-py, not looked into": alone(at_once(lambda: plain.mget(["trimtab:numbers:e0"]))),
        "trimtab": step(online, 1),
        "Feast": feast.way("redis"),
    }
    aim = "   aim >= 10"
    show(
        "20 features of one entity, Redis on the other core:",
        await in_turns(one, 60),
        ["Feast"],
        aim,
    )
    server.pin(cores[0])
    show("the same, Redis on the same core:", await in_turns(one, 60), ["Feast"])
    server.pin(cores[-1])
    hundred = {"trimtab": step(online, 100), "Feast": feast.way("redis", count=100)}
    show("20 features of 100 entities:", await in_turns(hundred, 8), ["Feast"], aim)
    many = {
        "trimtab": at_a_time(turns),
        "Feast, async": feast.way("redis", "tasks"),
        "Feast, threads": feast.way("redis", "threads"),
    }
    peers = ["Feast, async", "Feast, threads"]
    show(f"one entity, {AT_ONCE} reads at a time:", await in_turns(many, 20 * AT_ONCE), peers, aim)
    plain.close()
    await store.close()
    await embedded(feast, folder)


async def embedded(feast: Feast, folder: Path) -> None:
    """The same without a server."""
    stores = {}
    for name, create in (("lmdb", lmdb.create), ("sqlite", sqlite.create)):
        (own := folder / f"trimtab-{name}").mkdir()
        stores[name] = create(StoreConfig(kind=name), own, SystemClock())
    models = {f"trimtab on {name}": await of(store) for name, store in stores.items()}
    for count, calls in ((1, 60), (100, 8)):
        ways = {name: step(model, count) for name, model in models.items()}
        ways["Feast on sqlite"] = feast.way("sqlite", count=count)
        title = f"20 features of {count}, embedded:"
        show(title, await in_turns(ways, calls), ["Feast on sqlite"], "   aim >= 10")
    for store in stores.values():
        await store.close()


def run(server: RedisServer, python: str, folder: Path, cores: Sequence[int]) -> None:
    """Measure and print; repositories of Feast are left in the folder."""
    with feast_in_process(python, folder, server.port) as feast:
        uvloop.run(measure(server, feast, folder, cores))
