"""20 features of one entity and of 100 from the embedded stores, 200,000 entities in each."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import uvloop
from support import NAMES, numbers_config, resolver, rows_of

from trimtab.config import StoreConfig
from trimtab.features.guard import Guard
from trimtab.features.stores import lmdb, memory, sqlite
from trimtab.protocols import FeatureStore
from trimtab.telemetry import Metrics
from trimtab.wiring.clock import SystemClock

ENTITIES = 200_000
CHUNK = 1_000


async def measure(name: str, store: FeatureStore) -> None:
    rows = list(rows_of(ENTITIES).items())
    began = time.perf_counter()
    for start in range(0, ENTITIES, CHUNK):
        await store.write("numbers", dict(rows[start : start + CHUNK]))
    written = ENTITIES / (time.perf_counter() - began)
    clock, metrics, config = SystemClock(), Metrics(), numbers_config()
    model = resolver(
        config, {"online": Guard("online", store, metrics, clock, config)}, metrics, clock
    )
    draw = np.random.default_rng(3)
    for count, times in ((1, 3_000), (100, 300)):
        taken = []
        for _ in range(times):
            entities = [{"user": f"e{draw.integers(ENTITIES)}"} for _ in range(count)]
            missing = [[None] * len(NAMES) for _ in range(count)]
            began = time.perf_counter()
            await model.resolve(missing, entities, [10.0] * count, 100.0)
            taken.append((time.perf_counter() - began) * 1e6)
        taken.sort()
        print(
            f"{name:8} {count:3} of {ENTITIES:,}: median {taken[times // 2]:6.1f} us, "
            f"p99 {taken[int(times * 0.99)]:6.1f} us; {written:,.0f} rows/s written"
        )
    await store.close()


async def main() -> None:
    makers: dict[str, Callable[..., FeatureStore]] = {
        "sqlite": sqlite.create,
        "lmdb": lmdb.create,
        "memory": memory.create,
    }
    for name, create in makers.items():
        with tempfile.TemporaryDirectory() as folder:
            await measure(name, create(StoreConfig(kind=name), Path(folder), SystemClock()))


if __name__ == "__main__":
    uvloop.run(main())
