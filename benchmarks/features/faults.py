"""Law 10 under faults: what a client of the feature step sees while a real Redis goes wrong.

Requests arrive at a steady rate whatever happens (an open loop), and each is timed by whoever asked.
Beside them another model reads another store; its requests must not notice.
"""

from __future__ import annotations

import asyncio
import gc
import math
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np
import uvloop
from proxy_process import ProxyProcess
from recovery import recovery
from support import NAMES, RedisServer, numbers_config, resolver, rows_of

from trimtab.config import StoreConfig
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores import redis
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.stores.redis import RedisOptions, RedisStore
from trimtab.telemetry import Metrics
from trimtab.testing import Fault
from trimtab.types import StoredRow
from trimtab.wiring.clock import SystemClock

DEADLINE_MS = 100.0
BREAKER_SECONDS = 1.0
REQUESTS = 10_000
PER_SECOND = 2_000.0
ENTITIES = 1_000
WORDS = {"r": "realtime", "b": "batch", "d": "default", "-": "missing"}


class Hanging(MemoryStore):
    """A batch store that never answers."""

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:  # noqa: ARG002
        await asyncio.get_running_loop().create_future()
        return {}


@dataclass
class Seen:
    """What the clients saw in one phase."""

    took_ms: list[float] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    last_fallback_at: float = -math.inf

    def quantile(self, q: float) -> float:
        return sorted(self.took_ms)[min(len(self.took_ms) - 1, int(q * len(self.took_ms)))]

    def share(self, code: str) -> float:
        return self.sources[code] / max(1, self.sources.total())


async def ask(asked: Resolver, entity: str, seen: Seen) -> None:
    began = time.perf_counter()
    try:
        (answer,) = await asked.resolve(
            [[None] * len(NAMES)], [{"user": entity}], [10.0], DEADLINE_MS
        )
    except Exception:  # noqa: BLE001 - every failure counts
        seen.failed += 1
        return
    ended = time.perf_counter()
    seen.took_ms.append((ended - began) * 1e3)
    seen.sources.update(answer.sources)
    if set(answer.sources) != {"r"}:
        seen.last_fallback_at = ended


async def arrive(asked: Resolver, requests: int, seen: Seen, rate: float = PER_SECOND) -> None:
    """Requests in an open loop: a late one does not hold back the next."""
    started, running = time.perf_counter(), set[asyncio.Task[None]]()
    draw = np.random.default_rng(1)
    for number in range(requests):
        wait = started + number / rate - time.perf_counter()
        await asyncio.sleep(max(0.0, wait))
        task = asyncio.ensure_future(ask(asked, f"e{draw.integers(ENTITIES)}", seen))
        running.add(task)
        task.add_done_callback(running.discard)
    while running:
        await asyncio.wait(running)


@dataclass
class World:
    """A model over the Redis that goes wrong, and another one over one that does not."""

    server: RedisServer
    proxy: ProxyProcess
    other_server: RedisServer
    batch_hangs: bool = False
    url: str = ""
    resolve: Callable[[str, int], list[object]] | None = None
    half: bool = False

    async def open(self) -> None:
        clock = SystemClock()
        config = numbers_config(DEADLINE_MS, BREAKER_SECONDS, batch="nightly")
        self.metrics = Metrics()
        direct = redis.create(StoreConfig(kind="redis", url=self.server.url), Path(), clock)
        rows = rows_of(ENTITIES, half=self.half)
        await direct.write("numbers", rows)
        await direct.close()
        other = redis.create(StoreConfig(kind="redis", url=self.other_server.url), Path(), clock)
        await other.write("numbers", rows_of(ENTITIES))
        url = self.url or f"redis://127.0.0.1:{self.proxy.port}/0"
        options = RedisOptions()
        self.online = (
            RedisStore(url, options, self.resolve) if self.resolve else RedisStore(url, options)
        )
        self.nightly = Hanging() if self.batch_hangs else MemoryStore()
        await self.nightly.write("numbers", rows_of(ENTITIES, plus=1_000.0))
        self.other_store = other
        stores = {"online": self.online, "nightly": self.nightly}
        guards = {n: Guard(n, s, self.metrics, clock, config) for n, s in stores.items()}
        self.model = resolver(config, guards, self.metrics, clock)
        beside = Metrics()
        self.other = resolver(
            numbers_config(DEADLINE_MS, BREAKER_SECONDS),
            {"online": Guard("online", other, beside, clock, config)},
            beside,
            clock,
        )

    def breaker_is_open(self) -> bool:
        labels = {"store": "online"}
        return bool(self.metrics.registry.get_sample_value("ml_feature_breaker_open", labels))

    async def close(self) -> None:
        await self.online.close()
        await self.other_store.close()


@dataclass(frozen=True)
class Case:
    """A fault: how it begins and ends, and which sources are right while it lasts."""

    name: str
    right: str
    begin: Callable[[World], None]
    end: Callable[[World], None]
    opens: bool = True


def _set(fault: Fault) -> Callable[[World], None]:
    def set_fault(world: World) -> None:
        world.proxy.set(fault)

    return set_fault


CASES = [
    Case("hangs (SIGSTOP)", "b", lambda w: w.server.signal(signal.SIGSTOP), lambda w: w.server.signal(signal.SIGCONT)),
    Case("slow (lognormal, median 40 ms)", "rb", _set(Fault.SLOW), _set(Fault.NONE), opens=False),
    Case("connection refused", "b", lambda w: w.server.kill(), lambda w: w.server.start_again()),
    Case("reset in the middle of a reply", "b", _set(Fault.RESET), _set(Fault.NONE)),
    Case("garbage", "b", _set(Fault.GARBAGE), _set(Fault.NONE)),
    Case("half of the features missing", "rb", lambda _: None, lambda _: None, opens=False),
    Case("name service never answers", "b", lambda _: None, lambda _: None),
    Case("all stores down", "d", lambda w: w.server.signal(signal.SIGSTOP), lambda w: w.server.signal(signal.SIGCONT)),
]  # fmt: skip


@contextmanager
def servers() -> Iterator[tuple[RedisServer, RedisServer, ProxyProcess]]:
    with RedisServer() as server, RedisServer() as other, ProxyProcess(server.port) as proxy:
        yield server, other, proxy


async def run_case(case: Case, requests: int) -> dict[str, object]:
    never = Event()
    with servers() as (server, other, proxy):
        world = World(server, proxy, other)
        world.batch_hangs = case.name == "all stores down"
        world.half = case.name.startswith("half")
        if case.name.startswith("name"):
            world.url = "redis://features.example:6379/0"
            world.resolve = lambda *_: [never.wait()]
        await world.open()
        gc.collect()
        gc.freeze()  # as a worker does: a pass over all that was imported holds up the loop
        calm, beside, during, after = Seen(), Seen(), Seen(), Seen()
        well = [] if world.resolve else [arrive(world.model, requests // 2, Seen())]
        await asyncio.gather(*well, arrive(world.other, requests // 8, calm, PER_SECOND / 4))
        case.begin(world)
        await asyncio.gather(
            arrive(world.model, requests, during),
            arrive(world.other, requests // 4, beside, PER_SECOND / 4),
        )
        opened = world.breaker_is_open()
        never.set()
        case.end(world)
        if case.name == "connection refused":
            again = redis.create(StoreConfig(kind="redis", url=server.url), Path(), SystemClock())
            await again.write("numbers", rows_of(ENTITIES))
            await again.close()
        ended = time.perf_counter()
        back: float | None = None
        closed = None
        if case.opens and not world.resolve:
            await arrive(world.model, int(PER_SECOND * 2.5), after)
            back, closed = max(0.0, after.last_fallback_at - ended), not world.breaker_is_open()
        await world.close()
    return {
        "fault": case.name,
        "requests": len(during.took_ms) + during.failed,
        "failed": during.failed + beside.failed + after.failed,
        "p50_ms": round(during.quantile(0.5), 2),
        "p99_ms": round(during.quantile(0.99), 1),
        "max_ms": round(during.quantile(1.0), 1),
        "sources": {code: round(during.share(code), 4) for code in sorted(during.sources)},
        "wrong_sources": sum(n for code, n in during.sources.items() if code not in case.right),
        "breaker": [opened, closed],
        "back_seconds": None if back is None else round(back, 2),
        "other_p99_ms": [round(calm.quantile(0.99), 2), round(beside.quantile(0.99), 2)],
        "other_answered": len(beside.took_ms),
        "after": dict(after.sources),
    }


COLUMNS = {
    "fault": "<32",
    "requests": ">8",
    "failed": ">6",
    "p50 ms": ">7",
    "p99 ms": ">7",
    "max ms": ">7",
    "sources": "<26",
    "wrong": ">5",
    "breaker": "<16",
    "back s": ">6",
    "other p99 ms": ">14",
}


def told(found: dict[str, object]) -> dict[str, str]:
    """A case as people read it."""
    sources: dict[str, float] = found["sources"]  # type: ignore[assignment]  # as run_case makes it
    opened, closed = found["breaker"]  # type: ignore[misc]
    calm, beside = found["other_p99_ms"]  # type: ignore[misc]
    ended = {None: "", True: ", closed again", False: ", still open"}[closed]  # type: ignore[has-type]
    back = found["back_seconds"]
    return {
        "fault": str(found["fault"]),
        "requests": f"{found['requests']:,}",
        "failed": str(found["failed"]),
        "p50 ms": str(found["p50_ms"]),
        "p99 ms": str(found["p99_ms"]),
        "max ms": str(found["max_ms"]),
        "sources": " ".join(f"{WORDS[code]} {share:.1%}" for code, share in sources.items()),
        "wrong": str(found["wrong_sources"]),
        "breaker": ("opened" if opened else "closed") + ended,  # type: ignore[has-type]
        "back s": "" if back is None else str(back),
        "other p99 ms": f"{calm} -> {beside}",  # type: ignore[has-type]
    }


def show(found: Iterable[dict[str, object]]) -> None:
    """A line a case, as it is done."""
    print("  ".join(format(name, width) for name, width in COLUMNS.items()))
    for one in found:
        line = told(one)
        print("  ".join(format(line[name], width) for name, width in COLUMNS.items()), flush=True)


if __name__ == "__main__":
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    print(
        f"Deadline {DEADLINE_MS:g} ms, {requests:,} requests a fault at {PER_SECOND:,.0f} a second; "
        f"breaker {BREAKER_SECONDS:g} s; 'other' is a model on a store that is well, while this one is: -> is not.\n"
        f"Aims: none failed, none wrong, p99 at most {DEADLINE_MS + 5:g} ms, back within {BREAKER_SECONDS:g} s, "
        "and the other's p99 as before."
    )
    show(uvloop.run(run_case(case, requests)) for case in CASES)
    print(
        "\nThrough `trimtab serve`, 'other' is the same model before Redis was killed -> while it was away:"
    )
    show([recovery(requests, BREAKER_SECONDS)])
