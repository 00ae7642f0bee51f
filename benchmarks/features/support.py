"""What the benchmarks of features share: a Redis of their own, a view of 20 numbers, a clock."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple, Self

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.views import compile_plan
from trimtab.protocols import Clock
from trimtab.telemetry import Metrics
from trimtab.types import FeatureKind, FeatureSpec, Signature, StoredRow, Task

NAMES = tuple(f"feature_{number}" for number in range(20))
SIGNATURE = Signature(
    features=tuple(FeatureSpec(name=name, kind=FeatureKind.NUMERIC) for name in NAMES),
    task=Task.BINARY,
)


def numbers_config(
    deadline_ms: float = 100.0, breaker_seconds: float = 1.0, batch: str = ""
) -> FeaturesConfig:
    """One view of 20 numbers of a user."""
    return FeaturesConfig(
        deadline_ms=deadline_ms,
        breaker_seconds=breaker_seconds,
        stores={name: StoreConfig(kind=name) for name in ("online", "nightly")},
        views={
            "numbers": ViewConfig(
                entity="user",
                realtime="online",
                batch=batch,
                features=tuple(ViewFeature(name=name, default=-1.0) for name in NAMES),
            )
        },
    )


def resolver(
    config: FeaturesConfig, guards: Mapping[str, Guard], metrics: Metrics, clock: Clock
) -> Resolver:
    plan = compile_plan(config, SIGNATURE, ["numbers"])
    return Resolver(plan, SIGNATURE, guards, metrics, clock, config, "model")


def rows_of(entities: int, plus: float = 0.0, *, half: bool = False) -> dict[str, StoredRow]:
    """Rows of 20 numbers; of every second feature only, if ``half``."""
    names = NAMES[::2] if half else NAMES
    return {
        f"e{at}": StoredRow(
            values={name: plus + at * 1.5 + place for place, name in enumerate(names)},
            event_time=1.0,
        )
        for at in range(entities)
    }


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Served(NamedTuple):
    """A server under measurement: its port on loopback, and its process."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """What its process and all below it have used, also those that have ended."""
        used: dict[int, float] = {}
        below: dict[int, list[int]] = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                pid = int(stat.parent.name)
                used[pid] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
                below.setdefault(int(fields[1]), []).append(pid)
        total, mine = 0.0, [self.pid]
        while mine:
            pid = mine.pop()
            total += used.get(pid, 0.0)
            mine += below.get(pid, [])
        return total


class RedisServer:
    """A Redis on a free loopback port, without persistence."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start_again()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start_again(self) -> None:
        program = shutil.which("redis-server") or "redis-server"
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "eady to accept connections" in line:
                break

    def pin(self, core: int) -> None:
        """Let it run on this core from now on."""
        os.sched_setaffinity(self._process.pid, {core})

    def signal(self, what: signal.Signals) -> None:
        self._process.send_signal(what)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


async def alternating(
    ways: Mapping[str, Callable[[], Awaitable[object]]], rounds: int, each: int
) -> dict[str, float]:
    """Median seconds of a call of each way, measured turn by turn in one run."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, call in ways.items():
            for _ in range(each):
                began = time.perf_counter()
                await call()
                taken[name].append(time.perf_counter() - began)
    return {name: median(times) for name, times in taken.items()}


def at_once(call: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    """A call that blocks, as one that is awaited."""

    async def awaited() -> object:
        return call()

    return awaited
