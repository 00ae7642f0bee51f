"""A batch snapshot of 200,000 entities: read from Parquet through Arrow, beside point reads of DuckDB.

Both answer 20 numbers of one entity and of 100, drawn anew each time. DuckDB reads a table with an index on
the entity, and the Parquet file itself; it runs in an environment of its own, with one thread.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from support import NAMES

from trimtab.features.stores.parquet import ParquetOptions, ParquetStore
from trimtab.wiring.clock import SystemClock

ROOT = Path(__file__).parents[2]
ENTITIES = 200_000
SIZES = {1: 400, 100: 40}

PEER = """
import json, sys, time
from statistics import median
import duckdb, random

folder, entities = sys.argv[1], int(sys.argv[2])
sizes = {int(k): v for k, v in json.loads(sys.argv[3]).items()}
database = duckdb.connect(f"{folder}/snapshot.duckdb")
database.execute("SET threads = 1")
database.execute(f"CREATE TABLE held AS SELECT * FROM '{folder}/numbers.parquet'")
database.execute("CREATE UNIQUE INDEX by_entity ON held (entity)")
draw = random.Random(3)
found = {}
for way, source in (("DuckDB table with an index", "held"), ("DuckDB on Parquet", f"'{folder}/numbers.parquet'")):
    for count, times in sizes.items():
        taken = []
        for _ in range(times if way.endswith("index") else max(3, times // 10)):
            asked = [f"e{draw.randrange(entities)}" for _ in range(count)]
            marks = ", ".join("?" * count)
            began = time.perf_counter()
            database.execute(f"SELECT * FROM {source} WHERE entity IN ({marks})", asked).fetchall()
            taken.append(time.perf_counter() - began)
        found[f"{way}/{count}"] = median(taken)
print(json.dumps(found))
"""


async def ours(folder: Path) -> dict[str, float]:
    store = ParquetStore(folder, SystemClock(), ParquetOptions(check_seconds=3_600))
    await store.refresh("numbers")
    draw = np.random.default_rng(3)
    found = {}
    for count, times in SIZES.items():
        taken = []
        for _ in range(times):
            asked = [f"e{draw.integers(ENTITIES)}" for _ in range(count)]
            began = time.perf_counter()
            await store.read("numbers", asked)
            taken.append(time.perf_counter() - began)
        found[f"Trimtab, Parquet through Arrow/{count}"] = median(taken)
    await store.close()
    return found


def main() -> None:
    peer = subprocess.run(
        [ROOT / "scripts" / "peer-env.sh", "features-join"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw = np.random.default_rng(1)
        columns = {name: draw.random(ENTITIES) for name in NAMES}
        table = {"entity": [f"e{at}" for at in range(ENTITIES)], "event_time": 1.0, **columns}
        pq.write_table(
            pa.table({**table, "event_time": np.ones(ENTITIES)}), folder / "numbers.parquet"
        )
        mine = asyncio.run(ours(folder))
        ran = subprocess.run(
            [peer, "-c", PEER, folder, str(ENTITIES), json.dumps(SIZES)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        theirs: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    for way, taken in {**mine, **theirs}.items():
        kind, count = way.rsplit("/", 1)
        first = mine[f"Trimtab, Parquet through Arrow/{count}"]
        print(f"{kind:32} {count:>4} entities {taken * 1e6:9,.0f} us  {taken / first:7.1f} x")


if __name__ == "__main__":
    main()
