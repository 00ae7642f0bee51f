"""Runs in the environment of benchmarks/peers/feast.txt: the Feast adapter over a real repository.

Usage: python feast_peer.py FOLDER. Prints one line that says how it went.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, Float64, Int64, String

from trimtab.config import StoreConfig
from trimtab.features.stores import feast
from trimtab.testing import FakeClock, check_feature_store
from trimtab.types import StoredRow

CONFIGURATION = """
project: laws
provider: local
registry: registry.db
online_store: {type: sqlite, path: online.db}
entity_key_serialization_version: 3
"""
FLOATS = {
    "order": ["x"],
    "large": ["x"],
    "cancelled": ["x"],
    "ways": ["x"],
    "ways_too": ["x"],
    "keys": ["is"],
}


def repository(folder: Path) -> FeatureStore:
    """A Feast repository with a feature view for each view of the suite, and two more."""
    (folder / "feature_store.yaml").write_text(CONFIGURATION)
    pd.DataFrame({"entity": ["a"], "event_timestamp": [datetime.now(UTC)]}).to_parquet(
        folder / "none.parquet"
    )
    source = FileSource(path=str(folder / "none.parquet"), timestamp_field="event_timestamp")
    entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.STRING)
    user = Entity(name="user", join_keys=["user"], value_type=ValueType.INT64)

    def view(name: str, fields: Mapping[str, Any], *entities: Entity) -> FeatureView:
        return FeatureView(
            name=name,
            entities=list(entities),
            ttl=timedelta(0),
            schema=[Field(name=n, dtype=t) for n, t in fields.items()],
            source=source,
        )

    store = FeatureStore(repo_path=str(folder))
    store.apply([
        entity, user,
        *(view(name, dict.fromkeys(names, Float64), entity) for name, names in FLOATS.items()),
        view("typed", {"f": Float64, "i": Int64, "s": String, "b": Bool}, entity),
        view("pairs", {"entity": String, "user": Int64, "x": Float64}, entity, user),
    ])  # fmt: skip
    return store


class Told(logging.Handler):
    """Keeps the reasons that are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.reasons.append(vars(record)["reason"])


async def main(folder: Path) -> None:
    repo = repository(folder)

    async def seed(_: object, view: str, rows: Mapping[str, StoredRow]) -> None:
        lines = [
            {
                "entity": entity,
                "event_timestamp": pd.Timestamp(row.event_time, unit="s", tz="UTC"),
                **row.values,
            }
            for entity, row in rows.items()
        ]
        repo.write_to_online_store(view, pd.DataFrame(lines))

    config = StoreConfig(kind="feast", url=str(folder))
    await check_feature_store(
        lambda: feast.create(config, folder, FakeClock()), seed, any_view=False, any_type=False
    )
    await seed(
        None,
        "typed",
        {"e": StoredRow(values={"f": 0.5, "i": 3, "s": "é", "b": True}, event_time=9.5)},
    )
    await seed(None, "pairs", {"a|b": StoredRow(values={"user": 7, "x": 2.0}, event_time=9.0)})
    store = feast.create(config, folder, FakeClock())
    told = Told()
    feast.logger.addHandler(told)
    assert [{}, {}] == [await store.read("nowhere", ["a"]) for _ in range(2)]
    assert ["the repository has no feature view 'nowhere'"] == told.reasons, told.reasons
    assert store._store._opened is not None, "a worker's first read waits for the repository"
    typed = (await store.read("typed", ["e"]))["e"]
    assert typed.values == {"f": 0.5, "i": 3, "s": "é", "b": True}, typed
    assert typed.event_time == 9.0, typed  # Feast keeps whole seconds
    pairs = await store.read("pairs", ["a%7Cb|7", "a|8", "a|seven", "a"])
    assert {key: row.values["x"] for key, row in pairs.items()} == {"a%7Cb|7": 2.0}, pairs
    await store.close()
    sys.stdout.write("the laws hold\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
