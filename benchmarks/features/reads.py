"""20 features of one entity and of 100 from Redis on loopback, beside raw pipelined reads of redis-py.

Raw reads are those of the client as its documentation shows it, with the parser of hiredis: of the very
rows that Trimtab stores (one blob each) and of a hash for each entity. `numbers` are reads whose values come
out as Python's floats, by the shortest way there is: no name is looked at, nothing is checked. `bytes` are
not looked into; a client that has them has not read features yet. `checked` is the same store without
deadline, breaker, provenance and metrics: it reads, checks the values and puts them into rows. We have one core,
Redis has another one or the same: a read that changes between two of them is another read.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from math import isfinite
from pathlib import Path
from statistics import median
from struct import Struct
from timeit import repeat

import redis.asyncio
import uvloop
from support import (
    NAMES,
    RedisServer,
    alternating,
    at_once,
    numbers_config,
    resolver,
    rows_of,
)

from trimtab.config import StoreConfig
from trimtab.features.guard import Guard
from trimtab.features.resolver import Resolver
from trimtab.features.stores import redis as redis_store
from trimtab.features.stores.packed import pack, unpack_all
from trimtab.protocols import FeatureStore
from trimtab.telemetry import Metrics
from trimtab.wiring.clock import SystemClock

ENTITIES = 1_000
AIMS = {"redis-py, rows, numbers": 1.5, "checked": 1.15}
DOUBLES = Struct(f">{len(NAMES)}d")

Way = Callable[[], Awaitable[object]]


def decoded(blobs: list[bytes]) -> list[tuple[float, ...]]:
    return [DOUBLES.unpack_from(blob, len(blob) - DOUBLES.size) for blob in blobs]


def _raw(plain: redis.Redis, client: redis.asyncio.Redis, asked: list[str]) -> dict[str, Way]:
    hashes, keys = [f"hash:{e}" for e in asked], [f"trimtab:numbers:{e}" for e in asked]

    def mget() -> list[bytes]:
        pipe = plain.pipeline(transaction=False)
        pipe.mget(keys)
        blobs: list[bytes] = pipe.execute()[0]
        return blobs

    def hmget() -> list[list[float]]:
        pipe = plain.pipeline(transaction=False)
        for key in hashes:
            pipe.hmget(key, NAMES)
        return [list(map(float, row)) for row in pipe.execute()]

    async def async_mget() -> list[bytes]:
        pipe = client.pipeline(transaction=False)
        pipe.mget(keys)
        blobs: list[bytes] = (await pipe.execute())[0]
        return blobs

    async def async_numbers() -> object:
        return decoded(await async_mget())

    async def async_hmget() -> object:
        pipe = client.pipeline(transaction=False)
        for key in hashes:
            pipe.hmget(key, NAMES)
        return [list(map(float, row)) for row in await pipe.execute()]

    return {
        "redis-py, rows, numbers": at_once(lambda: decoded(mget())),
        "redis-py, rows, bytes": at_once(mget),
        "redis-py, hashes, numbers": at_once(hmget),
        "redis-py asyncio, rows, numbers": async_numbers,
        "redis-py asyncio, rows, bytes": async_mget,
        "redis-py asyncio, hashes, numbers": async_hmget,
    }


def _ours(model: Resolver, store: FeatureStore, asked: list[str]) -> dict[str, Way]:
    missing = [[None] * len(NAMES) for _ in asked]
    entities, times = [{"user": entity} for entity in asked], [10.0] * len(asked)

    async def resolve() -> object:
        return await model.resolve(missing, entities, times, 100.0)

    async def checked() -> object:
        """Checks every value and puts it into its row; the rest is what the resolver costs."""
        found = await store.read("numbers", asked)
        answers = []
        for entity in asked:
            row = found[entity].values.row  # type: ignore[attr-defined]  # a line, as the store packs it
            answers.append(row if all(map(isfinite, row)) else None)
        return answers

    return {"trimtab": resolve, "checked": checked}


def floors() -> None:
    """What nobody can go below: the bytes of a read, and making numbers of them."""
    held = rows_of(100)
    blobs, names = [pack(row) for row in held.values()], list(held)
    values = len(names) * len(NAMES)

    def nanoseconds(call: Callable[[], object]) -> float:
        return median(repeat(call, number=100, repeat=15)) / 100 / values * 1e9

    print(
        f"floor: {sum(map(len, blobs)):,} bytes for 100 rows of {len(NAMES)} numbers; "
        f"a number from bytes {nanoseconds(lambda: decoded(blobs)):.0f} ns by struct, row by row; "
        f"as a table {nanoseconds(lambda: unpack_all(names, blobs)):.0f} ns, "
        f"and {nanoseconds(unpack_all(names, blobs).table.tolist):.0f} ns more as Python's floats"  # type: ignore[attr-defined]  # a block
    )


async def main() -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    floors()
    with RedisServer() as server:
        plain, client = redis.Redis(port=server.port), redis.asyncio.Redis(port=server.port)
        clock, metrics = SystemClock(), Metrics()
        store = redis_store.create(StoreConfig(kind="redis", url=server.url), Path(), clock)
        rows = rows_of(ENTITIES)
        await store.write("numbers", rows)
        for entity, row in rows.items():
            plain.hset(f"hash:{entity}", mapping={k: repr(v) for k, v in row.values.items()})
        config = numbers_config()
        model = resolver(
            config, {"online": Guard("online", store, metrics, clock, config)}, metrics, clock
        )
        for core, count in (("other", 1), ("other", 100), ("same", 1)):
            server.pin(cores[-1] if core == "other" else cores[0])
            asked = [f"e{at}" for at in range(count)]
            ways = {**_ours(model, store, asked), **_raw(plain, client, asked)}
            await alternating(ways, 2, 50)
            medians = await alternating(ways, 60, 100 if count == 1 else 20)
            ours = medians.pop("trimtab")
            print(f"20 features of {count}, Redis on the {core} core: trimtab {ours * 1e6:.0f} us")
            for name, taken in medians.items():
                aim = f"   aim <= {AIMS[name]}" if name in AIMS else ""
                print(f"  {name:34} {taken * 1e6:7.0f} us   ratio {ours / taken:.2f}{aim}")
        await store.close()
        await client.aclose()
        plain.close()


if __name__ == "__main__":
    uvloop.run(main())
