"""Runs in Feast's own environment: get_online_features in process, and its feature server.

Usage: feast_peer.py FOLDER REDIS_PORT SERVER_PORT PYTHON. Prints a JSON object of seconds and rates.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64
from http_client import rate

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


def server_rates(folder: Path, port: int, python: str) -> dict[str, float]:
    feast = Path(sys.executable).parent / "feast"
    server = subprocess.Popen(
        [feast, "-c", folder, "serve", "-h", "127.0.0.1", "-p", str(port), "--no-access-log"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    features = [f"numbers:{name}" for name in NAMES]
    try:
        wait_until_ready(port)
        found = {}
        for name, count in (("one", 1), ("hundred", 100)):
            body = {"features": features, "entities": {"user": [f"e{at}" for at in range(count)]}}
            found[name] = rate(python, port, "/get-online-features", body, 8)
        return found
    finally:
        server.terminate()
        server.wait()


def wait_until_ready(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.2)  # noqa: TID251 - another process's start
    message = "Feast's server did not start"
    raise TimeoutError(message)


def main(folder: Path, redis_port: int, server_port: int, python: str) -> None:
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
    found["server"] = server_rates(folder / "redis", server_port, python)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
