"""`kill -9` of real workers and of the watcher under load, again and again.

The processes are those of `trimtab serve`, on one listening socket, with the journal's segments rotated every few
records and compacted meanwhile. They are forked from a process that has imported everything and has no
threads, in the supervisor's place, so that a kill costs tenths of a second instead of seconds.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pyarrow.parquet  # noqa: F401 - what the watcher imports at its first use
from tests.e2e.clients import rows_of
from tests.e2e.conftest import frame, rotating

from trimtab.config import load
from trimtab.metric_files import forget
from trimtab.record.parts import part_files
from trimtab.record.reader import SegmentReader
from trimtab.serve import child, watcher, worker
from trimtab.telemetry import Metrics

ROOT = Path(__file__).parents[2]
WORKERS = 2
CLIENTS = 4
ANSWERS_A_CONNECTION = 25
READY_SECONDS = 60
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run(folder: Path, kills: int) -> dict[str, Any]:
    """What so many kills cost, found out by a process of its own."""
    metrics = folder / "run" / "metrics"
    metrics.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.killed_workers", "kills", str(folder), str(kills)],
        env={**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "PROMETHEUS_MULTIPROC_DIR": str(metrics)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def asks(port: int) -> None:
    """Clients that predict again and again; the id of each prediction that was answered is a line of the output."""

    def ask(number: int) -> None:
        rows, turn = rows_of(frame(100, seed=number)), 0
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                for _ in range(ANSWERS_A_CONNECTION):
                    turn += 1
                    body = json.dumps({"features": rows[turn % len(rows)], "key": str(turn)})
                    connection.request("POST", "/models/risk/predict", body)
                    reply = connection.getresponse()
                    answer = json.loads(reply.read())
                    if reply.status != http.client.OK:
                        os.write(1, f"refused {reply.status} {answer}\n".encode())
                        continue
                    os.write(1, f"{answer['predictions'][0]['prediction_id']}\n".encode())
                connection.close()
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                continue

    for number in range(CLIENTS):
        threading.Thread(target=ask, args=(number,), daemon=True).start()
    signal.pause()


@dataclass
class Process:
    """A forked worker or watcher, and the pipe by which it says that it is ready."""

    module: ModuleType
    pid: int
    ready: int


class Tree:
    """The processes of a server.

    Args:
        config: Its configuration file.
    """

    def __init__(self, config: Path) -> None:
        self.run_dir = config.parent / "run"
        self.metrics_dir = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        (self.run_dir / "config.json").write_bytes(msgspec.json.encode(load(config, environ={})))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._alive, self._ours = os.pipe()
        self._log = os.open(config.parent / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.processes = [self.started(worker) for _ in range(WORKERS)] + [self.started(watcher)]

    def started(self, module: ModuleType) -> Process:
        ready, its = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(self._log, 2)
            os.close(self._ours)
            numbers = (self.listener.fileno(), self._alive, its)
            sys.argv = ["trimtab", str(self.run_dir), *map(str, numbers)]
            forked(lambda: child.run(module.serve))
        os.close(its)
        return Process(module, pid, ready)

    def kill(self, victims: list[Process]) -> None:
        """Kill processes at once, and start others in their places."""
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)
        for victim in victims:
            os.waitpid(victim.pid, 0)
            os.close(victim.ready)
            forget(victim.pid, self.metrics_dir)
            self.processes[self.processes.index(victim)] = self.started(victim.module)

    def serving(self) -> list[Process]:
        """The workers that are ready, at least one."""
        if any(os.waitpid(each.pid, os.WNOHANG)[0] for each in self.processes):
            raise SystemExit("A process ended by itself.")
        workers = {each.ready: each for each in self.processes if each.module is worker}
        ready, _, _ = select.select(list(workers), [], [], READY_SECONDS)
        if not ready:
            raise SystemExit("No worker became ready.")
        return [workers[at] for at in ready]

    def stop(self) -> list[int]:
        """Drain; the exit statuses."""
        for each in self.processes:
            os.kill(each.pid, signal.SIGTERM)
        return [os.waitpid(each.pid, 0)[1] for each in self.processes]


def forked(body: Callable[[], None]) -> None:
    status = 1
    try:
        body()
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os._exit(status)


def killed(folder: Path, kills: int) -> dict[str, object]:
    """Kill at moments of their own; what was lost."""
    chance = random.Random(20_261_127)  # noqa: S311 - moments
    began = time.monotonic()
    tree = Tree(rotating(folder, workers=WORKERS))
    words = [
        sys.executable,
        "-m",
        "tests.e2e.killed_workers",
        "asks",
        str(tree.listener.getsockname()[1]),
    ]
    tree.serving()
    clients = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert clients.stdout is not None
    told: list[str] = []
    done: Counter[str] = Counter()
    while done.total() < kills:
        told += [clients.stdout.readline().strip() for _ in range(chance.randrange(1, 120))]
        victims = tree.serving()
        kind = chance.choices(["worker", "watcher", "all"], [8, 1, 1])[0]
        if kind == "worker":
            victims = [chance.choice(victims)]
        elif kind == "watcher":
            victims = tree.processes[-1:]
        else:
            victims = [*victims, tree.processes[-1]]
        tree.kill(victims)
        done.update(each.module.__name__.rpartition(".")[2] for each in victims)
    told += [clients.stdout.readline().strip() for _ in range(100)]
    clients.kill()
    told += [line.strip() for line in clients.stdout if line.endswith("\n")]
    clients.wait()
    statuses = tree.stop()
    journal = folder / "state" / "journal"
    counted = Counter(one.prediction_id for one in SegmentReader(journal, Metrics()).records())
    refused = [line for line in told if line.startswith("refused")]
    return {
        "kills": dict(done),
        "seconds": round(time.monotonic() - began),
        "acknowledged": len(told) - len(refused),
        "lost": sorted(set(told) - set(counted) - set(refused)),
        "twice": sorted(name for name, times in counted.items() if times > 1),
        "refused": sorted(set(refused)),
        "parts": len(list(part_files(journal))),
        "segments": len(list(journal.glob("*.seg"))),
        "statuses": statuses,
    }


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "asks":
        asks(int(given[0]))
    else:
        sys.stdout.write(json.dumps(killed(Path(given[0]), int(given[1]))))
