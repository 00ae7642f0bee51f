"""A real server: `trimtab serve` as a process tree, with a small scikit-learn model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from trimtab.config import load
from trimtab.types import Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

CONFIG = """\
[state]
dir = "{state}"

[serve]
workers = {workers}
max_body_bytes = 100_000
max_rows = 100

[watch]
poll_ms = 20
window_seconds = 3600
lateness_seconds = 60
outcome_delay_seconds = 3600
"""


def frame(rows: int = 2_000, seed: int = 0) -> pd.DataFrame:
    """A number that may be missing, an integer, a category, and an outcome that follows them."""
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(3, 1, rows)
    country = rng.choice(["nl", "de", "fr"], rows)
    visits = rng.integers(0, 20, rows)
    late = (np.log(amount) + (country == "fr") + rng.normal(0, 1, rows) > 3.5).astype(int)
    amount[rng.random(rows) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "amount": amount,
            "visits": visits,
            "country": country,
            "outcome": late,
            "time": 1.7e9 + np.arange(rows) * 60.0,
        }
    )


def fitted(data: pd.DataFrame) -> Pipeline:
    """A pipeline with categories and missing values."""
    columns = ColumnTransformer(
        [
            (
                "country",
                OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
                ["country"],
            ),
            ("rest", "passthrough", ["amount", "visits"]),
        ]
    )
    model = HistGradientBoostingClassifier(max_iter=10, random_state=0)
    return Pipeline([("columns", columns), ("model", model)]).fit(
        data[["amount", "visits", "country"]], data["outcome"]
    )


def registered(folder: Path, *, workers: int = 1) -> Path:
    """A state directory with a deployed model ``risk``; the path of its configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trimtab.toml"
    path.write_text(CONFIG.format(state=(folder / "state").as_posix(), workers=workers))
    deployment = Deployment.open(load(path, environ={}))
    try:
        data = frame()
        version = register(
            deployment,
            "risk",
            fitted(data),
            Training(
                reference=data,
                holdout=frame(500, seed=1),
                outcome="outcome",
                time="time",
                task=Task.BINARY,
                labels=("good", "bad"),
            ),
            author="test",
            trust=True,
        )
        deployment.deploy("risk", version.version, actor="test", reason="first")
    finally:
        deployment.close()
    return path


def importable(folder: Path, name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that the servers of this test can import."""
    folder.mkdir()
    (folder / f"{name}.py").write_text(code)
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


def rotating(folder: Path, *, workers: int) -> Path:
    """As ``registered``, with small segments that become Parquet as soon as they are closed."""
    path = registered(folder, workers=workers)
    settings = "segment_bytes = 5_000\ncompact_after_seconds = 0"
    path.write_text(f"{path.read_text()}\n[journal]\n{settings}\n")
    return path


@dataclass
class Running:
    """A server that runs."""

    url: str
    config: Path
    process: subprocess.Popen[str]

    @property
    def client(self) -> httpx.Client:
        """A client of it."""
        return httpx.Client(base_url=self.url, timeout=20.0)

    def children(self) -> dict[int, str]:
        """The pids of its children, with the module that each runs."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        found = {}
        for line in listed.splitlines():
            pid, _, arguments = line.strip().partition(" ")
            if "trimtab.serve." in arguments:
                found[int(pid)] = arguments.split("-m ")[1].split()[0]
        return found

    def kill_tree(self) -> None:
        """End everything at once, as a power cut of the machine's process table would."""
        for pid in [self.process.pid, *self.children()]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()


Start = Callable[[Path], Running]


def start_server(config: Path) -> Running:
    """Start `trimtab serve` and wait until it is ready."""
    with (config.parent / "server.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trimtab.cli", "serve", "--config", str(config),
             "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert '"url"' in line, (config.parent / "server.log").read_text()[-4000:]
    return Running(json.loads(line)["url"], config, process)


@pytest.fixture
def serve() -> Iterator[Start]:
    """Starts servers and stops them at the end of the test."""
    running: list[Running] = []

    def start(config: Path) -> Running:
        running.append(start_server(config))
        return running[-1]

    yield start
    for server in running:
        stop(server)


def stop(server: Running) -> None:
    """Stop a server, if it still runs."""
    if server.process.poll() is None:
        server.process.terminate()
        server.process.wait(30)
    if server.process.stdout is not None:
        server.process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for the tests of a module."""
    running = start_server(registered(tmp_path_factory.mktemp("server")))
    yield running
    stop(running)
