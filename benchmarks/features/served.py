"""`trimtab serve` as a process of one worker, with a small model over the view of 20 numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from support import NAMES, Served

from trimtab.config import load
from trimtab.types import Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

PATH = "/models/numbers/predict"


@contextmanager
def served(
    folder: Path, redis_url: str, *, batch: bool = False, settings: str = ""
) -> Iterator[Served]:
    """A server that reads ``numbers`` from Redis, and from SQLite if that fails."""
    (folder / "state").mkdir(parents=True)
    path = folder / "trimtab.toml"
    listed = ", ".join(f'{{ name = "{name}", default = -1.0 }}' for name in NAMES)
    second = 'batch = "nightly"\n' if batch else ""
    path.write_text(
        f'[state]\ndir = "{folder / "state"}"\n[serve]\nworkers = 1\nmax_wait_ms = 10_000\n'
        f'[features]\n{settings}\n[features.stores.online]\nkind = "redis"\nurl = "{redis_url}"\n'
        '[features.stores.nightly]\nkind = "sqlite"\n'
        f'[features.views.numbers]\nentity = "user"\nrealtime = "online"\n{second}features = [{listed}]\n'
    )
    draw = np.random.default_rng(1)
    frame = pd.DataFrame(draw.random((500, len(NAMES))), columns=list(NAMES))
    frame["outcome"] = (frame[NAMES[0]] > 0.5).astype(int)
    model = LogisticRegression().fit(frame[list(NAMES)], frame["outcome"])
    deployment = Deployment.open(load(path, environ={}))
    training = Training(
        reference=frame, outcome="outcome", task=Task.BINARY, labels=("low", "high")
    )
    version = register(
        deployment, "numbers", model, training, author="bench", views=["numbers"], trust=True
    )
    deployment.deploy("numbers", version.version, actor="bench", reason="measured")
    deployment.close()
    process = subprocess.Popen(
        [sys.executable, "-m", "trimtab.cli", "serve", "--config", path, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        port = int(json.loads(process.stdout.readline())["url"].rsplit(":", 1)[1])
        yield Served(port, process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
