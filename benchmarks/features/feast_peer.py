"""Runs in Feast's own environment: makes its repositories, and times get_online_features in process.

Usage: feast_peer.py FOLDER REDIS_PORT. Prints a JSON object of seconds.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

NAMES = [f"feature_{number}" for number in range(20)]
ENTITIES = 1_000


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


def in_process(store: FeatureStore, count: int, times: int) -> float:
    features = [f"numbers:{name}" for name in NAMES]
    rows = [{"user": f"e{at}"} for at in range(count)]
    taken = []
    for turn in range(times + 10):
        began = time.perf_counter()
        store.get_online_features(features=features, entity_rows=rows).to_dict()
        if turn >= 10:
            taken.append(time.perf_counter() - began)
    return median(taken)


def main(folder: Path, redis_port: int) -> None:
    found = {}
    for name, online in (
        ("redis", f'{{type: redis, connection_string: "127.0.0.1:{redis_port}"}}'),
        ("sqlite", "{type: sqlite, path: online.db}"),
    ):
        store = repository(folder / name, online)
        found[name] = {
            "one": in_process(store, 1, 300),
            "hundred": in_process(store, 100, 60),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
