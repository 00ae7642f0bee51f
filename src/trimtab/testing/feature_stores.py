"""The laws of a feature store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import product
from typing import Any

from trimtab.errors import Refused
from trimtab.protocols import FeatureStore
from trimtab.types import Scalar, StoredRow

ODD_VIEWS = ["keys:a", "keys/a", "keys%3Aa", "ключи", "keys|a"]
Seed = Callable[[FeatureStore, str, Mapping[str, StoredRow]], Awaitable[object]]


async def check_feature_store(
    factory: Callable[[], FeatureStore],
    seed: Seed | None = None,
    *,
    any_view: bool = True,
    any_type: bool = True,
) -> None:
    """The laws of a feature store.

    Args:
        factory: Makes a store; each call may reach the same rows or start with none.
        seed: Puts rows into a store that refuses ``write``; None for one that can be written.
        any_view: Whether views may have any name; else only plain ones are used.
        any_type: Whether one view may hold values of all types; else only numbers are used.

    Raises:
        AssertionError: naming the law that is broken.
    """
    store = factory()
    put = seed or type(store).write
    await store.ping()
    await _reads_in_order(store, put)
    if any_type:
        await _keeps_types(store, put)
    await _keeps_keys_apart(store, put, ["keys", *(ODD_VIEWS if any_view else [])])
    await _reads_large_batches(store, put)
    await _survives_cancelled_reads(store, put)
    await _reads_alike_by_every_way(store, put)
    if seed is None:
        await _keeps_the_newest(store)
        await _orders_concurrent_writers(store)
    else:
        await _refuses_writes(store)
    await store.close()
    await store.close()


async def _reads_in_order(store: FeatureStore, put: Seed) -> None:
    rows = {f"e{i}": StoredRow(values={"x": float(i)}, event_time=100.0 + i) for i in range(600)}
    await put(store, "order", rows)
    asked = [f"e{i}" for i in range(700, -1, -7)]
    found = await store.read("order", asked)
    known = [entity for entity in asked if entity in rows]
    _expect("read keeps the order and omits what is absent", known, list(found))
    _expect("read returns what was written", {e: rows[e] for e in known}, dict(found))
    _expect("nothing asked, nothing found", {}, dict(await store.read("order", [])))
    _expect("an unknown view has no rows", {}, dict(await store.read("no such view", ["e1"])))


async def _keeps_types(store: FeatureStore, put: Seed) -> None:
    values: dict[str, Scalar] = {
        "float": 0.1, "whole": 3.0, "int": 2**53, "text": "é\n", "yes": True, "no": None,
    }  # fmt: skip
    await put(store, "types", {"e": StoredRow(values=values, event_time=1.5)})
    found = (await store.read("types", ["e"]))["e"]
    _expect("values keep their value", values, dict(found.values))
    kinds = {name: type(value) for name, value in values.items()}
    _expect("values keep their type", kinds, {n: type(v) for n, v in found.values.items()})
    _expect("the event time is kept", 1.5, found.event_time)


async def _keeps_keys_apart(store: FeatureStore, put: Seed, views: Sequence[str]) -> None:
    keys = ["a", "a:b", "b", "a/b", "..", "a b", "%3A", "*", "'", '"', "日本", "ё", "🛫", "0", "A"]
    keys += ["a|b", "{a}", "\\", "a\nb", "e\u0301", "é", "x" * 2_000, "x" * 2_001]
    numbers = {(view, key): float(n) for n, (view, key) in enumerate(product(views, keys))}
    for view in views:
        rows = {key: StoredRow(values={"is": numbers[view, key]}, event_time=1.0) for key in keys}
        await put(store, view, rows)
    for view in views:
        found = await store.read(view, keys)
        _expect(
            "views and entities of any text are kept apart",
            {key: numbers[view, key] for key in keys},
            {key: row.values["is"] for key, row in found.items()},
        )


async def _reads_large_batches(store: FeatureStore, put: Seed) -> None:
    rows = {f"e{i}": StoredRow(values={"x": float(i)}, event_time=1.0) for i in range(5_000)}
    await put(store, "large", rows)
    found = await store.read("large", [*rows, "nobody"])
    _expect("a large batch is read whole", list(rows), list(found))
    _expect("a large batch keeps its values", rows["e4321"], found["e4321"])


async def _reads_alike_by_every_way(store: FeatureStore, put: Seed) -> None:
    """``read_now`` and ``begin_many`` are the faster ways that our own stores have beside ``read``."""
    asked = [
        ("ways", ["nobody", "e"]),
        ("ways_too", ["e", "f"]),
        ("ways", ["f", "e"]),
        ("no", ["e"]),
    ]
    for view, x in (("ways", 0.0), ("ways_too", 10.0)):
        rows = {
            entity: StoredRow(values={"x": x + more}, event_time=1.0)
            for more, entity in enumerate(("e", "f"))
        }
        await put(store, view, rows)
    plain = [dict(await store.read(view, entities)) for view, entities in asked]
    read_now: Any = getattr(store, "read_now", None)
    if read_now is not None:
        found = [dict(read_now(view, entities)) for view, entities in asked]
        _expect("read_now answers what read answers", plain, found)
    begin_many: Any = getattr(store, "begin_many", None)
    if begin_many is not None:
        found = [dict(rows) for rows in await _settled(begin_many(asked))]
        _expect("begin_many answers what read answers", plain, found)
        _expect("and in the same order", list(map(list, plain)), list(map(list, found)))
        given_up = begin_many(asked)
        for attempt in given_up[:2]:
            attempt.cancel()
        found = [dict(rows) for rows in await _settled(given_up[2:])]
        _expect("what is given up of several takes nothing else with it", plain[2:], found)
        for attempt in begin_many(asked):
            attempt.cancel()
        found = [dict(rows) for rows in await _settled(begin_many(asked[:1]))]
        _expect("what is given up whole does not harm the next", plain[:1], found)


async def _settled(attempts: Sequence[Any]) -> list[Mapping[str, StoredRow]]:
    """What came of attempts, which tell only when they are done."""
    loop = asyncio.get_running_loop()
    told = [loop.create_future() for _ in attempts]
    for attempt, one in zip(attempts, told, strict=True):
        attempt.add_done_callback(lambda _, one=one: one.set_result(None))
    await asyncio.gather(*told)
    return [attempt.result() for attempt in attempts]


async def _survives_cancelled_reads(store: FeatureStore, put: Seed) -> None:
    row = StoredRow(values={"x": 1.0}, event_time=1.0)
    await put(store, "cancelled", {"e": row})
    for steps in range(20):
        reads = [asyncio.ensure_future(store.read("cancelled", ["e"])) for _ in range(3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for read in reads:
            read.cancel()
        await asyncio.wait(reads)
        found = await store.read("cancelled", ["e"])
        _expect("a cancelled read does not harm the next", {"e": row}, dict(found))


async def _keeps_the_newest(store: FeatureStore) -> None:
    def row(event_time: float, x: float) -> StoredRow:
        return StoredRow(values={"x": x}, event_time=event_time)

    async def held() -> list[float]:
        found = await store.read("newest", ["e", "f"])
        return [float(row.values["x"] or 0) for row in found.values()]

    _expect("a new row is kept", 1, await store.write("newest", {"e": row(-5.0, 1)}))
    _expect("a newer event is kept", 1, await store.write("newest", {"e": row(20.0, 2)}))
    older = {"e": row(10.0, 3), "f": row(10.0, 4)}
    _expect("an older event is ignored, and counted so", 1, await store.write("newest", older))
    _expect("an older event changes nothing", [2.0, 4.0], await held())
    _expect("an equal event is kept", 1, await store.write("newest", {"e": row(20.0, 5)}))
    _expect("an equal event overwrites", [5.0, 4.0], await held())
    _expect("no rows, none kept", 0, await store.write("newest", {}))


async def _orders_concurrent_writers(store: FeatureStore) -> None:
    times = [(7 * i) % 31 for i in range(31)]
    entities = [f"e{i}" for i in range(20)]
    await asyncio.gather(
        *(
            store.write(
                "writers",
                {e: StoredRow(values={"x": float(t)}, event_time=float(t)) for e in entities},
            )
            for t in times
        )
    )
    found = await store.read("writers", entities)
    _expect(
        "of concurrent writers the newest event stays",
        dict.fromkeys(entities, 30.0),
        {entity: row.values["x"] for entity, row in found.items()},
    )


async def _refuses_writes(store: FeatureStore) -> None:
    try:
        await store.write("order", {"e1": StoredRow(values={"x": 0.0}, event_time=1e12)})
    except Refused:
        return
    message = "a store that cannot be written refuses, and says so"
    raise AssertionError(message)


def _expect(law: str, expected: object, actual: object) -> None:
    if expected != actual:
        message = f"{law}: expected {expected!r:.500}, got {actual!r:.500}"
        raise AssertionError(message)
