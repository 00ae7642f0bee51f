"""Runs in Feast's own environment: makes its repositories, and times get_online_features in process when told to.

Usage: feast_peer.py FOLDER REDIS_PORT. Each line of standard input is a JSON object of what is to be timed, each
line of standard output of what it took, in seconds; the first line says that all is there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pandas as pd
import uvloop
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

NAMES = [f"feature_{number}" for number in range(20)]
LISTED = [f"numbers:{name}" for name in NAMES]
ENTITIES = 1_000
AT_ONCE = 16


def repository(folder: Path, online: str) -> FeatureStore:
    folder.mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(
        f"project: bench\nprovider: local\nregistry: registry.db\nonline_store: {online}\n"
        "entity_key_serialization_version: 3\n"
    )
    now = datetime.now(UTC)
    frame = pd.DataFrame(
        {
            "user": [f"e{at}" for at in range(ENTITIES)],
            "event_timestamp": now,
            **{name: [at * 1.5 + n for at in range(ENTITIES)] for n, name in enumerate(NAMES)},
        }
    )
    frame.to_parquet(folder / "rows.parquet")
    source = FileSource(path=str(folder / "rows.parquet"), timestamp_field="event_timestamp")
    user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING)
    view = FeatureView(
        name="numbers",
        entities=[user],
        ttl=timedelta(days=1),
        schema=[Field(name=name, dtype=Float64) for name in NAMES],
        source=source,
    )
    store = FeatureStore(repo_path=str(folder))
    store.apply([user, view])
    store.write_to_online_store("numbers", frame)
    return store


def read(store: FeatureStore, rows: Sequence[dict[str, str]]) -> float:
    began = time.perf_counter()
    store.get_online_features(features=LISTED, entity_rows=list(rows)).to_dict()
    return time.perf_counter() - began


def alone(store: FeatureStore, count: int, calls: int) -> list[float]:
    rows = [{"user": f"e{at}"} for at in range(count)]
    return [read(store, rows) for _ in range(calls)]


def in_threads(store: FeatureStore, calls: int) -> list[float]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [*pool.map(lambda at: read(store, [{"user": f"e{at % ENTITIES}"}]), range(calls))]


async def in_tasks(store: FeatureStore, calls: int) -> list[float]:
    taken: list[float] = []

    async def one(first: int) -> None:
        for at in range(first, calls, AT_ONCE):
            began = time.perf_counter()
            rows = [{"user": f"e{at % ENTITIES}"}]
            got = await store.get_online_features_async(features=LISTED, entity_rows=rows)
            got.to_dict()
            taken.append(time.perf_counter() - began)

    await asyncio.gather(*map(one, range(AT_ONCE)))
    return taken


def main(folder: Path, redis_port: int) -> None:
    connection = f'"127.0.0.1:{redis_port}"'
    stores = {
        "redis": repository(folder / "redis", f"{{type: redis, connection_string: {connection}}}"),
        "sqlite": repository(folder / "sqlite", "{type: sqlite, path: online.db}"),
    }
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print("{}", flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            store, way, calls = stores[asked["online"]], asked["way"], asked["calls"]
            began = time.perf_counter()
            if way == "tasks":
                taken = runner.run(in_tasks(store, calls))
            elif way == "threads":
                taken = in_threads(store, calls)
            else:
                taken = alone(store, asked["count"], calls)
            wall = time.perf_counter() - began
            print(json.dumps({"median": median(taken), "each": wall / calls}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
