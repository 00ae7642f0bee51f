"""A large forest served by the original and by its compiled form: memory of the workers, latency, rate.

``serving.py [--folder DIR] [--trees N] [--rows N] [--calls N]``. The model is trained once and kept in the
folder; ``--model FILE`` takes another forest of 30 features in its place, and ``--workers 1`` leaves the original out where
several workers would each hold it. Registration runs in a process of its own, for its peak. Each server is ``trimtab serve`` as a process tree of its own; memory is read from ``/proc`` (PSS: a
page that k processes share counts 1/k in each).
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import resource
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from trimtab.cli.demo.server import Server
from trimtab.config import Config, StateConfig
from trimtab.types import Task, Version
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

COLUMNS = 30
MB = 1 << 20


@dataclass(frozen=True)
class Served:
    """One server measured; memory in bytes, latency in milliseconds."""

    workers: int
    pss: list[int]
    mapped: list[int]
    p50_ms: float
    p99_ms: float
    per_second: float


def data(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, COLUMNS))
    y = (X[:, 0] + X[:, 1] * X[:, 2] + random.normal(0, 1.5, rows) > 0).astype(int)
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(COLUMNS)]).assign(outcome=y)


def trained(folder: Path, trees: int, rows: int) -> Path:
    path = folder / f"forest-{trees}-{rows}.joblib"
    if not path.exists():
        frame = data(rows, 0)
        model = RandomForestClassifier(trees, n_jobs=-1, random_state=0)
        joblib.dump(model.fit(frame.drop(columns="outcome"), frame.outcome), path)
    return path


def deployed(folder: Path, model: Path) -> tuple[Path, Version, float]:
    """A state directory with the model deployed: its configuration, and the peak in MB that this took."""
    folder.mkdir(parents=True, exist_ok=True)
    config = Config(state=StateConfig(dir=str(folder / "state")))
    deployment = Deployment.open(config)
    version = register(
        deployment,
        "forest",
        model,
        Training(reference=data(2_000, 1), outcome="outcome", task=Task.BINARY),
        author="benchmark",
        trust=True,
    )
    deployment.deploy("forest", version.version, actor="benchmark", reason="measured")
    deployment.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return folder / "trimtab.toml", version, peak


def write_config(path: Path, workers: int, *, compact: bool) -> None:
    on = "true" if compact else "false"
    path.write_text(
        f'[state]\ndir = "{path.parent / "state"}"\n[serve]\nworkers = {workers}\n'
        f"[optimize]\ncompact = {on}\n"
    )


def measured(path: Path, workers: int, digest: str, calls: int) -> Served:
    server = Server.start(path, path.parent / "server.log")
    try:
        pids = worker_pids(server.pid)
        assert len(pids) == workers
        rows = [row_body(i) for i in range(50)]
        turn(server.url, rows, calls)  # every worker has answered, and touched its pages
        latencies = turn(server.url, rows, calls)
        started = time.perf_counter()
        threads = [
            threading.Thread(target=turn, args=(server.url, rows, calls)) for _ in range(workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - started
        return Served(
            workers,
            [pss(pid) for pid in pids],
            [pss(pid, digest) for pid in pids],
            statistics.median(latencies),
            float(np.percentile(latencies, 99)),
            workers * calls / seconds,
        )
    finally:
        server.stop()


def row_body(seed: int) -> bytes:
    values = np.random.default_rng(seed).normal(size=COLUMNS).tolist()
    features = {f"x{i}": value for i, value in enumerate(values)}
    return json.dumps({"rows": [{"features": features}]}).encode()


def turn(url: str, bodies: list[bytes], calls: int) -> list[float]:
    """Single rows one after another on one connection; milliseconds of each."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    taken = []
    for call in range(calls):
        started = time.perf_counter()
        connection.request(
            "POST",
            "/models/forest/predict",
            bodies[call % len(bodies)],
            {"content-type": "application/json"},
        )
        reply = connection.getresponse()
        body = reply.read()
        taken.append((time.perf_counter() - started) * 1e3)
        assert reply.status == 200, body
    return taken


def worker_pids(server: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == server and b"trimtab.serve.worker" in command:
                found.append(int(entry.name))
    return found


def pss(pid: int, digest: str = "") -> int:
    """Bytes of a process, or of its mappings of the artifact with that digest."""
    if not digest:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(re.findall(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[0]) * 1024
    total, inside = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            inside = digest.partition(":")[2] in line
        elif inside and line.startswith("Pss:"):
            total += int(line.split()[1]) * 1024
    return total


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--calls", type=int, default=150)
    parser.add_argument("--model", type=Path, help="A forest of 30 features, by joblib.")
    parser.add_argument(
        "--workers", type=int, default=4, help="The most that hold the original; 0: none."
    )
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = asked.folder or Path(made)
        model = asked.model or trained(folder, asked.trees, asked.rows)
        with tempfile.TemporaryDirectory(dir=folder) as state:
            with ProcessPoolExecutor(1) as apart:
                path, version, peak = apart.submit(deployed, Path(state), model).result()
            form = version.compact
            assert form is not None, version.lineage
            print(
                f"{model.name}: {model.stat().st_size / MB:,.0f} MB as joblib,"
                f" {form.size_bytes / MB:,.1f} MB compiled; equal on {form.equal:,} of"
                f" {form.rows:,} rows, at most {form.max_abs:.1g} apart; registered in {peak:,.0f} MB\n"
            )
            print(
                "| form | workers | PSS a worker, MB | PSS in all, MB | of the artifact's pages, in all"
                " | single row p50 / p99, ms | rows/s |"
            )
            print("|---|---|---|---|---|---|---|")
            for compact, workers in ((False, 1), (False, 4), (True, 1), (True, 4)):
                if not compact and workers > asked.workers:
                    continue
                write_config(path, workers, compact=compact)
                digest = form.digest if compact else version.digest
                show(
                    "compiled" if compact else "original",
                    measured(path, workers, digest, asked.calls),
                )


def show(form: str, served: Served) -> None:
    pages = f"{sum(served.mapped) / MB:,.1f} MB" if sum(served.mapped) else "not mapped"
    print(
        f"| {form} | {served.workers} | {statistics.mean(served.pss) / MB:,.0f} |"
        f" {sum(served.pss) / MB:,.0f} | {pages} | {served.p50_ms:.1f} / {served.p99_ms:.1f} |"
        f" {served.per_second:,.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
