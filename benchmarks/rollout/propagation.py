"""How soon every worker has switched after a rollback, and whether a request failed meanwhile.

A server with several workers answers a steady load over keep-alive connections. A rollout is
started and rolled back again and again through the same call as ``trimtab rollback``. Each answer
says its epoch: what was sent after the commit and still answered by an older epoch was late.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from trimtab.config import load
from trimtab.protocols import StateStore, StateTx
from trimtab.types import GuardrailSpec, RampStep, RolloutPlan, Task, UnitEvent
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

PLAN = RolloutPlan(
    steps=(RampStep(share=0.5, bake_seconds=1e9),),
    guardrails=(GuardrailSpec(name="errors", event=UnitEvent.ERROR),),
)
PAUSE_SECONDS = 0.05


@dataclass
class Answers:
    """What the clients saw: when each was sent, and the epoch that answered; ``failed`` counts."""

    sent: list[float] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    failed: int = 0


@dataclass
class Timed:
    """A state that says when its last write transaction was committed, before anybody is told."""

    state: StateStore
    committed: float = 0.0

    @contextmanager
    def transaction(self) -> Iterator[StateTx]:
        """A write transaction."""
        with self.state.transaction() as state:
            yield state
        self.committed = time.monotonic()

    def __getattr__(self, name: str) -> object:
        return getattr(self.state, name)


def deployed(folder: Path, workers: int, url: str) -> Path:
    """A state directory with two versions of a small model, the first deployed."""
    config = folder / "trimtab.toml"
    config.write_text(
        f'[state]\ndir = "{folder / "state"}"\nurl = "{url}"\n[serve]\nworkers = {workers}\n'
    )
    rng = np.random.default_rng(0)
    frame = {f"x{i}": rng.normal(size=500) for i in range(4)}
    frame["outcome"] = (frame["x0"] > 0).astype(int)
    deployment = Deployment.open(load(config, environ={}))
    import pandas as pd

    data = pd.DataFrame(frame)
    for strength in (1.0, 2.0):
        model = LogisticRegression(C=strength).fit(data.drop(columns="outcome"), data["outcome"])
        register(
            deployment,
            "risk",
            model,
            Training(reference=data, task=Task.BINARY, outcome="outcome"),
            author="bench",
            trust=True,
        )
    deployment.deploy("risk", 1, actor="bench", reason="first")
    deployment.close()
    return config


async def client(port: int, answers: Answers, name: str, until: asyncio.Event, pause_seconds: float = 0.0) -> None:  # fmt: skip
    """One keep-alive connection that asks again as soon as it is answered, or after a pause."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while not until.is_set():
        number += 1
        features = {f"x{i}": 0.1 * i + number % 7 for i in range(4)}
        body = json.dumps({"key": f"{name}-{number}", "features": features}).encode()
        writer.write(
            b"POST /models/risk/predict HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )
        sent = time.monotonic()
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        said = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            answers.failed += 1
            continue
        answers.sent.append(sent)
        answers.epochs.append(json.loads(said)["epoch"])
        if pause_seconds:
            await asyncio.sleep(pause_seconds)
    writer.close()


def flip(config: Path, flips: int, commits: list[tuple[float, int]], pause: Callable[[], float] = lambda: PAUSE_SECONDS) -> None:  # fmt: skip
    """Start a rollout and roll it back, again and again; when each was committed, and its epoch."""
    opened = Deployment.open(load(config, environ={}))
    timed = Timed(opened.state)
    deployment = replace(opened, state=timed)
    for _ in range(flips):
        deployment.start_rollout("risk", 2, PLAN, actor="bench", reason="flip")
        time.sleep(pause())  # noqa: TID251 - the load goes on meanwhile
        route = deployment.roll_back("risk", actor="bench", reason="flip")
        commits.append((timed.committed, route.epoch))
        time.sleep(pause())  # noqa: TID251 - as above
    deployment.close()


async def load_through(port: int, config: Path, flips: int, connections: int) -> tuple[Answers, list[tuple[float, int]]]:  # fmt: skip
    answers, commits, done = Answers(), [], asyncio.Event()
    clients = [
        asyncio.create_task(client(port, answers, f"c{i}", done)) for i in range(connections)
    ]
    await asyncio.sleep(1.0)
    await asyncio.to_thread(flip, config, flips, commits)
    done.set()
    await asyncio.gather(*clients)
    return answers, commits


def late_ms(answers: Answers, commits: Sequence[tuple[float, int]]) -> np.ndarray:
    """For each rollback, how long after its commit the last request was sent that an older epoch answered."""
    sent, epochs = np.array(answers.sent), np.array(answers.epochs)
    found = []
    for at, epoch in commits:
        late = sent[(sent > at) & (epochs < epoch)]
        found.append((late.max() - at) * 1e3 if len(late) else 0.0)
    return np.array(found)


@contextmanager
def served(config: Path) -> Iterator[int]:
    """A server on a free port, which is told."""
    server = subprocess.Popen(
        [sys.executable, "-m", "trimtab.cli", "serve", "--config", str(config), "--port", "0",
         "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield int(json.loads(server.stdout.readline())["url"].rsplit(":", 1)[1])
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.wait(30)


def measure(workers: int, flips: int, connections: int, url: str = "") -> None:
    """Serve, load, flip, and print one line."""
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as home:
        config = deployed(Path(home), workers, url)
        with served(config) as port:
            answers, commits = asyncio.run(load_through(port, config, flips, connections))
    late = late_ms(answers, commits)
    p50, p99 = np.percentile(late, [50, 99])
    print(
        f"{workers} workers, {connections} connections, {len(answers.sent):,} requests, "
        f"{answers.failed} failed, {len(commits)} rollbacks: last late request sent "
        f"{p50:.1f} ms (p50), {p99:.1f} ms (p99), {late.max():.1f} ms (most) after the commit"
    )


def main(arguments: Sequence[str]) -> None:
    """Measure rollbacks on one host, over SQLite."""
    parser = argparse.ArgumentParser(prog="make bench-rollout ARGS=propagation")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--url", default="", help="a postgresql:// URL for the state")
    chosen = parser.parse_args(arguments)
    measure(chosen.workers, chosen.flips, chosen.connections, chosen.url)
