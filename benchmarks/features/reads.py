"""20 features of one entity and of 100 from Redis on loopback, beside raw pipelined reads of redis-py.

Raw reads are those of the client as its documentation shows it, with the parser of hiredis: of a hash
for each entity (the values come out as bytes), and of the very rows that Trimtab stores (one blob each,
not looked into). `checked` is the same store without deadline, breaker, provenance and metrics: it reads,
checks the values and puts them into rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import isfinite
from pathlib import Path

import redis.asyncio
import uvloop
from support import (
    NAMES,
    RedisServer,
    SystemTime,
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
from trimtab.protocols import FeatureStore
from trimtab.telemetry import Metrics

ENTITIES = 1_000


def _raw(
    plain: redis.Redis, client: redis.asyncio.Redis, asked: list[str]
) -> dict[str, Callable[[], Awaitable[object]]]:
    hashes, keys = [f"hash:{e}" for e in asked], [f"trimtab:numbers:{e}" for e in asked]

    def hmget() -> object:
        pipe = plain.pipeline(transaction=False)
        for key in hashes:
            pipe.hmget(key, NAMES)
        return pipe.execute()

    def mget() -> object:
        pipe = plain.pipeline(transaction=False)
        pipe.mget(keys)
        return pipe.execute()

    async def async_hmget() -> object:
        pipe = client.pipeline(transaction=False)
        for key in hashes:
            pipe.hmget(key, NAMES)
        return await pipe.execute()

    async def async_mget() -> object:
        pipe = client.pipeline(transaction=False)
        pipe.mget(keys)
        return await pipe.execute()

    return {
        "redis-py, hashes": at_once(hmget),
        "redis-py, packed rows": at_once(mget),
        "redis-py asyncio, hashes": async_hmget,
        "redis-py asyncio, packed rows": async_mget,
    }


def _ours(
    model: Resolver, store: FeatureStore, asked: list[str]
) -> dict[str, Callable[[], Awaitable[object]]]:
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


async def main() -> None:
    with RedisServer() as server:
        plain, client = redis.Redis(port=server.port), redis.asyncio.Redis(port=server.port)
        clock, metrics = SystemTime(), Metrics()
        store = redis_store.create(StoreConfig(kind="redis", url=server.url), Path(), clock)
        rows = rows_of(ENTITIES)
        await store.write("numbers", rows)
        for entity, row in rows.items():
            plain.hset(f"hash:{entity}", mapping={k: repr(v) for k, v in row.values.items()})
        config = numbers_config()
        model = resolver(
            config, {"online": Guard("online", store, metrics, clock, config)}, metrics, clock
        )
        for count in (1, 100):
            asked = [f"e{at}" for at in range(count)]
            ways = {**_ours(model, store, asked), **_raw(plain, client, asked)}
            await alternating(ways, 2, 50)
            medians = await alternating(ways, 15, 200 if count == 1 else 20)
            ours = medians.pop("trimtab")
            print(f"20 features of {count}: trimtab {ours * 1e6:.0f} us")
            for name, taken in medians.items():
                print(f"  {name:32} {taken * 1e6:7.0f} us   ratio {ours / taken:.2f}")
        await store.close()
        await client.aclose()
        plain.close()


if __name__ == "__main__":
    uvloop.run(main())
