"""Beside Feast with the same Redis: 20 features of one entity and of 100, and requests a second over HTTP.

Feast runs in an environment of its own. Its feature server and `trimtab serve` stand side by side, one
worker each, both on one core; Redis and the load generator have another. They are asked in turns for the same 20
features of the same entities, over connections that stay open. Both answer with every value, where it came from
(Feast: its status) and how old it is (Feast: its time). What a whole prediction costs stands beside: there
`trimtab serve` also runs a model on what it read, and records it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import in_process
from http_client import rate
from served import PATH, served
from support import NAMES, RedisServer, Served, free_port

ROOT = Path(__file__).parents[2]
ENTITIES = 1_000
CLIENTS = 16
ROUNDS = 4
SECONDS = 2.0
OURS = "/models/numbers/features"


@contextmanager
def feast_server(python: str, folder: Path) -> Iterator[Served]:
    """Feast's own server over a repository."""
    port = free_port()
    command = [Path(python).parent / "feast", "-c", folder, "serve", "-h", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "-p", str(port), "--no-access-log"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(port)
        yield Served(port, process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.2)  # noqa: TID251 - another process's start
    message = "Feast's server did not start"
    raise TimeoutError(message)


class Way(NamedTuple):
    """What is asked of whom."""

    server: Served
    path: str
    bodies: Sequence[object]


class Measured(NamedTuple):
    """Answers a second, and the server's processor time for each."""

    rate: float
    microseconds: float


def ways(trimtab: Served, feast: Served) -> tuple[dict[str, Way], dict[str, Way]]:
    """The same entities and features, of one and of 100 in a request; and with whole predictions, which are recorded."""
    one = [{"user": f"e{at}"} for at in range(ENTITIES)]
    hundred = {"user": [f"e{at}" for at in range(100)]}
    listed = [f"numbers:{name}" for name in NAMES]
    mine: dict[str, list[object]] = {
        "one": [{"features": row, "provenance": True} for row in one],
        "hundred": [{"columns": hundred, "provenance": True}],
    }
    theirs: dict[str, list[object]] = {
        "one": [{"features": listed, "entities": {"user": [row["user"]]}} for row in one],
        "hundred": [{"features": listed, "entities": hundred}],
    }
    alone, whole = {}, {}
    for name in ("one", "hundred"):
        alone[f"trimtab {name}"] = Way(trimtab, OURS, mine[name])
        alone[f"feast {name}"] = Way(feast, "/get-online-features", theirs[name])
        whole[f"prediction {name}"] = Way(trimtab, PATH, mine[name])
    return alone, whole


def in_turns(asked: Mapping[str, Way]) -> dict[str, Measured]:
    """The medians of some rounds."""
    found: dict[str, list[Measured]] = {name: [] for name in asked}
    for _ in range(ROUNDS):
        for name, way in asked.items():
            before = way.server.processor_seconds()
            answers = rate(sys.executable, way.server.port, way.path, way.bodies, CLIENTS, SECONDS)
            used = way.server.processor_seconds() - before
            found[name].append(Measured(answers, used / (answers * SECONDS) * 1e6))
    return {name: Measured(*map(median, zip(*all_, strict=True))) for name, all_ in found.items()}


def main() -> None:
    made = subprocess.run(
        [ROOT / "scripts" / "peer-env.sh", "feast"], check=True, stdout=subprocess.PIPE, text=True
    )
    python = made.stdout.strip()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.sched_setaffinity(0, {cores[-1]})  # whatever is started from here on inherits it
        with RedisServer() as server:
            os.sched_setaffinity(0, {cores[0]})
            in_process.run(server, python, folder, cores)
            with (
                served(folder / "trimtab", server.url) as trimtab,
                feast_server(python, folder / "redis") as feast,
            ):
                os.sched_setaffinity(0, {cores[-1]})
                alone, whole = ways(trimtab, feast)
                rates = in_turns(alone) | in_turns(
                    whole
                )  # the watcher has nothing to do before the second
    show(rates)


def show(rates: Mapping[str, Measured]) -> None:
    """Rates, and what each answer cost."""
    for name in ("one", "hundred"):
        print(f"20 features of {name} over HTTP, one worker on one core, {CLIENTS} connections:")
        feast = rates[f"feast {name}"]
        for who, words in (
            ("trimtab", "trimtab's features, sources and ages"),
            ("feast", "Feast's feature server"),
            ("prediction", "trimtab's whole predictions"),
        ):
            got = rates[f"{who} {name}"]
            ratio = f"{got.rate / feast.rate:6.1f} x, processor {feast.microseconds / got.microseconds:6.1f} x"
            aim = "   aim >= 20" if who == "trimtab" else ""
            print(
                f"  {words:38} {got.rate:8,.0f} answers/s, {got.microseconds:8,.0f} us of processor each: {ratio}{aim}"
            )


if __name__ == "__main__":
    main()
