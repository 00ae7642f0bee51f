"""The point-in-time join of training sets against DuckDB's own ASOF join.

Both read the same Parquet files and write one Parquet file, each in a process of its own with two
threads; what each reports is its own time and largest resident memory. ``--events`` and ``--rows``
choose the sizes, ``--repeat`` the rounds, taken in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
ENTITIES = (100_000, 50_000, 20_000, 5_000, 1_000)
FEATURES = 4
THREADS = 2
LIMIT = 1.3

OURS = """
import json, resource, sys, time
from pathlib import Path
import trimtab.features.asof  # loaded beforehand, as the peer is
from trimtab.config import Config, FeaturesConfig, StateConfig, ViewConfig, ViewFeature
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.training import TrainingOptions, write_training_frame

folder = Path(sys.argv[1])
views = {
    f"view{i}": ViewConfig(
        entity=f"k{i}", history=str(folder / f"view{i}.parquet"),
        features=tuple(ViewFeature(name=f"v{i}_{j}") for j in range(int(sys.argv[3]))),
    )
    for i in range(int(sys.argv[2]))
}
config = Config(state=StateConfig(dir=str(folder / "state")), features=FeaturesConfig(views=views))
deployment = Deployment.open(config)
began = time.perf_counter()
made = write_training_frame(
    deployment, folder / "events.parquet", folder / "ours.parquet", TrainingOptions()
)
seconds = time.perf_counter() - began
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "mib": kilobytes / 1024, "rows": made.rows}))
"""

PEER = """
import json, resource, sys, time
import duckdb

folder, views, features = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
database = duckdb.connect()
database.execute(f"SET threads = {sys.argv[4]}")
database.execute(f"SET temp_directory = '{folder}/duckdb'")
database.execute("SET preserve_insertion_order = false")
database.execute("SET enable_progress_bar = false")
columns = ", ".join(f"v{i}.v{i}_{j}" for i in range(views) for j in range(features))
joins = " ".join(
    f"ASOF LEFT JOIN '{folder}/view{i}.parquet' v{i}"
    f" ON e.k{i} = v{i}.k{i} AND e.event_time >= v{i}.event_time"
    for i in range(views)
)
began = time.perf_counter()
database.execute(
    f"COPY (SELECT e.*, {columns} FROM '{folder}/events.parquet' e {joins})"
    f" TO '{folder}/peer.parquet' (FORMAT parquet, COMPRESSION zstd)"
)
seconds = time.perf_counter() - began
(rows,) = database.execute(f"SELECT count(*) FROM '{folder}/peer.parquet'").fetchone()
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "mib": kilobytes / 1024, "rows": rows}))
"""


def make(folder: Path, events: int, rows: int) -> None:
    """Events in the order of their time, and five histories of four features."""
    rng = np.random.default_rng(7)
    keys = range(len(ENTITIES))
    fields = [(f"k{i}", pa.int64()) for i in keys]
    schema = pa.schema(
        [("id", pa.int64()), *fields, ("event_time", pa.float64()), ("label", pa.int64())]
    )
    chunk, span = 1_000_000, 1e7
    with pq.ParquetWriter(folder / "events.parquet", schema) as writer:
        for start in range(0, events, chunk):
            count = min(chunk, events - start)
            times = 1.7e9 + span * (start + np.sort(rng.random(count)) * count) / events
            columns = {f"k{i}": rng.integers(0, ENTITIES[i], count) for i in keys}
            labels = rng.integers(0, 2, count)
            names = np.arange(start, start + count)
            table = pa.table({"id": names, **columns, "event_time": times, "label": labels}, schema)
            writer.write_table(table, row_group_size=250_000)
    for i in keys:
        times = 1.7e9 + np.sort(rng.random(rows)) * span
        table = pa.table(
            {
                f"k{i}": rng.integers(0, ENTITIES[i], rows),
                "event_time": times,
                **{f"v{i}_{j}": rng.random(rows) for j in range(FEATURES)},
            }
        )
        pq.write_table(table, folder / f"view{i}.parquet", row_group_size=250_000)


def agree(folder: Path) -> bool:
    """Whether both gave every event the same values, bit for bit, whatever the order of rows."""
    ours, peer = (
        np.argsort(_column(folder / f"{who}.parquet", "id")[0], kind="stable")
        for who in ("ours", "peer")
    )
    for name in pq.read_schema(folder / "ours.parquet").names:
        (left, no_left), (right, no_right) = (
            tuple(part[order] for part in _column(folder / f"{who}.parquet", name))
            for who, order in (("ours", ours), ("peer", peer))
        )
        if not (np.array_equal(no_left, no_right) and np.array_equal(left, right)):
            return False
    return True


def _column(file: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A column's values, 0 where there is none, and where there is none."""
    column = pq.read_table(file, columns=[name]).column(0)
    return column.fill_null(0).to_numpy(), column.is_null().to_numpy()


def ran(python: str, code: str, folder: Path) -> dict[str, float]:
    arguments = [str(folder), str(len(ENTITIES)), str(FEATURES), str(THREADS)]
    environment = {**os.environ, "POLARS_MAX_THREADS": str(THREADS)}
    done = subprocess.run(
        [python, "-c", code, *arguments],
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="join")
    parser.add_argument("--events", type=float, default=1e7)
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="Keep the data here, for runs one by one.")
    parser.add_argument("--who", choices=("Trimtab", "DuckDB"), help="Run this one alone.")
    parser.add_argument("--make", action="store_true", help="Make the data in --folder, and end.")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        if asked.make or asked.folder is None:
            make(folder, int(asked.events), int(asked.rows))
        if not asked.make:
            measure(folder, asked.repeat, asked.who)


def measure(folder: Path, repeat: int, alone: str | None) -> None:
    """Run one or both in turns; what both took, as far as it is known, stands in the folder."""
    peer = subprocess.run(
        [ROOT / "scripts" / "peer-env.sh", "features-join"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    file = folder / "results.json"
    results: dict[str, list[dict[str, float]]] = (
        json.loads(file.read_text()) if file.is_file() else {}
    )
    for _ in range(repeat):
        for who, python, code in (("Trimtab", sys.executable, OURS), ("DuckDB", peer, PEER)):
            if alone in {None, who}:
                results.setdefault(who, []).append(ran(python, code, folder))
    file.write_text(json.dumps(results))
    if len(results) == 2:
        show(folder, results)


def show(folder: Path, results: dict[str, list[dict[str, float]]]) -> None:
    rows = pq.read_metadata(folder / "view0.parquet").num_rows
    events = pq.read_metadata(folder / "events.parquet").num_rows
    print(
        f"{events:,} events × {len(ENTITIES)} views of {rows:,} rows, {FEATURES} features each, "
        f"{THREADS} threads; same values: {agree(folder)}"
    )
    times = {}
    for who, runs in results.items():
        times[who] = median(run["seconds"] for run in runs)
        most = max(run["mib"] for run in runs)
        print(f"  {who:8} {times[who]:7.1f} s  {most:7,.0f} MiB at most, {len(runs)} rounds")
    print(f"  ratio    {times['Trimtab'] / times['DuckDB']:7.2f}    (at most {LIMIT})")


if __name__ == "__main__":
    main(sys.argv[1:])
