"""`make bench-serving`: servers of one model, each on one core, the load generator on the other, in turns.

``run.py [peers=trimtab,trimtab-empty,fastapi-sklearn,fastapi-onnx,fastapi-empty,mlserver,bentoml,litserve]
[models=lr,hgb,rf,columns] [connections=1,16,64] [rounds=2] [seconds=2] [folder=DIR]``. Trained models, deployments and results
(``results.jsonl``, a line each round) are kept in the folder, which is outside the repository.
A first word without ``=`` names another part, a file beside this one: ``cost``, ``follow``, ``limits``, ``together``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from models import MODELS, bodies, outcome, rows, tensors, trained

from trimtab.config import Config, StateConfig
from trimtab.types import Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

HERE = Path(__file__).parent
PEERS = (
    "trimtab",
    "trimtab-empty",
    "fastapi-sklearn",
    "fastapi-onnx",
    "fastapi-empty",
    "mlserver",
    "bentoml",
    "litserve",
)
NUMBERS_ONLY = frozenset({"fastapi-onnx", "mlserver", "bentoml", "litserve"})
ROUTES = {
    "mlserver": "/v2/models/{model}/infer",
    "bentoml": "/predict",
    "litserve": "/predict",
}
SERVER_CORE, LOAD_CORE = "0", "1"
READY_SECONDS = 60.0
BODIES = 5_000


@dataclass(frozen=True)
class Running:
    """A server that answers, and how long it took from its start until it did."""

    process: subprocess.Popen[bytes]
    asked: Asked
    start_seconds: float


@dataclass(frozen=True)
class Asked:
    """Where a server is asked, and with what."""

    port: int
    route: str
    bodies: Path


def main(arguments: Sequence[str]) -> None:
    if arguments and "=" not in arguments[0]:
        subprocess.run([sys.executable, HERE / f"{arguments[0]}.py", *arguments[1:]], check=True)
        return
    given = dict(word.split("=", 1) for word in arguments)
    peers = given.get("peers", ",".join(PEERS)).split(",")
    folder = Path(given.get("folder", Path(tempfile.gettempdir()) / "trimtab-bench-serving"))
    folder.mkdir(parents=True, exist_ok=True)
    for model in given.get("models", ",".join(MODELS)).split(","):
        measure(
            folder,
            model,
            [peer for peer in peers if model != "columns" or peer not in NUMBERS_ONLY],
            [int(number) for number in given.get("connections", "1,16,64").split(",")],
            int(given.get("rounds", "2")),
            given.get("seconds", "2"),
        )


def measure(
    folder: Path,
    model: str,
    peers: Sequence[str],
    connections: Sequence[int],
    rounds: int,
    seconds: str,
) -> None:
    """One model behind all servers, turn by turn; a server that waits is stopped, and so is all that it left to do."""
    path = trained(folder, model)
    plain, v2 = folder / f"{model}.bodies", folder / f"{model}.tensors"
    plain.write_bytes(b"\n".join(bodies(model, BODIES, seed=1)))
    if model != "columns":
        v2.write_bytes(b"\n".join(tensors(model, BODIES, seed=1)))
    running: dict[str, Running] = {}
    results: dict[tuple[str, int], list[dict[str, float]]] = defaultdict(list)
    try:
        for peer in peers:
            port = free_port()
            route = ROUTES.get(peer, "/models/{model}/predict").format(model=model)
            asked = Asked(port, route, v2 if peer == "mlserver" else plain)
            words = command(folder, peer, model, path, port)
            running[peer] = started(words, asked, folder / f"{model}-{peer}.log")
            os.killpg(running[peer].process.pid, signal.SIGSTOP)
        for _ in range(rounds):
            for peer, server in running.items():
                os.killpg(server.process.pid, signal.SIGCONT)
                for count in connections:
                    taken = loaded(server.asked, count, seconds)
                    results[peer, count].append(taken)
                    taken["resident_mb"] = resident_mb(server.process.pid)
                    note(folder, peer=peer, model=model, connections=count,
                         start_seconds=server.start_seconds, **taken)  # fmt: skip
                os.killpg(server.process.pid, signal.SIGSTOP)
    finally:
        for server in running.values():
            os.killpg(server.process.pid, signal.SIGCONT)
            server.process.terminate()
        for server in running.values():
            stopped(server.process)
    show(model, running, results)


def command(folder: Path, peer: str, model: str, path: Path, port: int) -> list[str]:
    if peer == "trimtab":
        config = deployed(folder, model, path)
        return [sys.executable, "-m", "trimtab.cli", "serve",
                "--config", str(config), "--port", str(port)]  # fmt: skip
    if peer == "trimtab-empty":
        return [sys.executable, str(HERE / "lane_empty.py"), str(port)]
    framework, _, kind = peer.partition("-")
    python = subprocess.run(
        [HERE.parents[1] / "scripts" / "peer-env.sh", f"serving-{framework}"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    kinds = [kind] if kind else []
    return [python, str(HERE / f"{framework}_peer.py"), *kinds, model, str(path), str(port)]


def deployed(folder: Path, model: str, path: Path) -> Path:
    """The configuration of a deployment of the model; registered once, with one worker."""
    home = folder / f"trimtab-{model}"
    config = home / "trimtab.toml"
    if not config.exists():
        home.mkdir(parents=True, exist_ok=True)
        deployment = Deployment.open(Config(state=StateConfig(dir=str(home / "state"))))
        reference = rows(model, 2_000, seed=2)
        data = reference.assign(outcome=outcome(reference, seed=2))
        training = Training(reference=data, outcome="outcome", task=Task.BINARY)
        version = register(deployment, model, path, training, author="benchmark", trust=True)
        deployment.deploy(model, version.version, actor="benchmark", reason="measured")
        deployment.close()
        config.write_text(f'[state]\ndir = "{home / "state"}"\n[serve]\nworkers = 1\n')
    return config


def started(words: list[str], asked: Asked, told: Path) -> Running:
    """Start a server on its core and wait until it has answered a prediction."""
    began = time.perf_counter()
    with told.open("ab") as log:
        process = subprocess.Popen(
            ["/usr/bin/taskset", "-c", SERVER_CORE, *words],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    while time.perf_counter() - began < READY_SECONDS and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", asked.port), timeout=1).close()
            taken = time.perf_counter() - began
            loaded(asked, 1, "0.2")
        except (OSError, subprocess.CalledProcessError):
            time.sleep(0.01)  # noqa: TID251 - another process's start
            continue
        return Running(process, asked, taken)
    stopped(process)
    raise SystemExit(f"{' '.join(words)} did not answer; see {told}.")


def stopped(process: subprocess.Popen[bytes]) -> None:
    """End a server that was told to stop, and whatever of its processes is left."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def loaded(asked: Asked, connections: int, seconds: str) -> dict[str, float]:
    run = subprocess.run(
        ["/usr/bin/taskset", "-c", LOAD_CORE, sys.executable, str(HERE / "load.py"), str(asked.port),
         asked.route, str(connections), seconds, str(asked.bodies)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    taken: dict[str, float] = json.loads(run.stdout)
    return taken


def resident_mb(pid: int) -> float:
    """Memory of the largest process that answers: the server itself or, of Trimtab's, a worker."""
    listed = subprocess.run(
        ["/bin/ps", "-o", "pid=,rss=,args=", "-s", str(pid)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    processes = [line.split(None, 2) for line in listed.splitlines()]
    workers = [each for each in processes if "trimtab.serve.worker" in each[2]]
    return max(int(rss) for _, rss, _ in workers or processes) / 1024


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def note(folder: Path, **what: object) -> None:
    with (folder / "results.jsonl").open("a") as file:
        file.write(json.dumps(what) + "\n")


def show(
    model: str,
    running: dict[str, Running],
    results: dict[tuple[str, int], list[dict[str, float]]],
) -> None:
    """Medians of the rounds, and Trimtab's rate over each server's."""
    print(f"\n{model}\n| server | connections | requests/s | Trimtab's rate over it | p50 / p99, ms"
          " | start to listening, s | resident, MB | generator's core busy |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for (peer, count), rounds in results.items():
        rate, p50, p99, busy, resident = (
            median(taken[name] for taken in rounds)
            for name in ("per_second", "p50_ms", "p99_ms", "busy", "resident_mb")
        )
        ours = results.get(("trimtab", count))
        over = f"{median(t['per_second'] for t in ours) / rate:.2f}" if ours else "–"
        print(f"| {peer} | {count} | {rate:,.0f} | {over} | {p50:.2f} / {p99:.2f} |"
              f" {running[peer].start_seconds:.1f} | {resident:.0f} | {busy:.0%} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
