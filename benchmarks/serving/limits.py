"""`make bench-serving ARGS="limits ..."`: Trimtab at half of its peak, at three times its peak, and in durable mode.

``limits.py [parts=half,overload,durable] [model=rf] [seconds=8] [folder=DIR]``. One worker on one core, the load on
the other; a part takes less than a minute. ``half``: p50 and p99 at half of the peak, beside those of
the empty handler with turns as long. ``overload``: goodput and
p99 of answers at three times the peak, ``max_wait_ms`` set to the peak's p50, beside those just below the peak, and how soon
all is well at half of it. ``durable``: requests per second at 64 connections in that mode, beside what appends of
the same size from 64 threads that share each ``fdatasync`` reach on the same disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from models import bodies, trained
from run import (
    HERE,
    LOAD_CORE,
    Asked,
    Running,
    command,
    free_port,
    loaded,
    resident_mb,
    started,
    stopped,
)

BODIES = 3_000
RECORD_BYTES = 700
WRITERS = 64


def main(arguments: Sequence[str]) -> None:
    given = dict(word.split("=", 1) for word in arguments)
    folder = Path(given.get("folder", Path(tempfile.gettempdir()) / "trimtab-bench-serving"))
    folder.mkdir(parents=True, exist_ok=True)
    seconds = given.get("seconds", "8")
    model = given.get("model", "rf")
    sent = folder / f"{model}.bodies"
    sent.write_bytes(b"\n".join(bodies(model, BODIES, seed=1)))
    parts = {"half": half, "overload": overload, "durable": durable}
    for part in given.get("parts", "half,overload").split(","):
        parts[part](folder, model, sent, seconds)


def half(folder: Path, model: str, sent: Path, seconds: str) -> None:
    server = served(folder, model, sent, {})
    try:
        lone = cpu_each(server)
        peak = loaded(server.asked, 16, seconds)["per_second"]
        found = at_rate(server, seconds, peak / 2)
    finally:
        stopped(server.process)
    print(f"\n{model}, half of a peak of {peak:,.0f}/s: p50 {found['p50_ms']:.2f} ms, p99 "
          f"{found['p99_ms']:.2f} ms: {found['p99_ms'] / found['p50_ms']:.1f} x; the worker took {found['util']:.0%} of"
          f" its core. Of the generator: p99 of how late it sent {found['late_p99_ms']:.2f} ms, from then on p99"
          f" {found['sent_p99_ms']:.2f} ms; it waited for its core {found['held_up']:.1%} of the time.", flush=True)  # fmt: skip
    noise(sent, model, seconds, peak / 2, lone)


def noise(sent: Path, model: str, seconds: str, rate: float, lone: float) -> None:
    """What the machine does to a server that records, counts and watches nothing, and is as busy: its turns take as long."""
    server = empty(sent, model)
    try:
        spin = max(0.0, lone - cpu_each(server))
    finally:
        stopped(server.process)
    server = empty(sent, model, str(spin))
    try:
        found = at_rate(server, seconds, rate)
    finally:
        stopped(server.process)
    print(f"The empty handler at that rate, its turns {spin * 1e6:.0f} us longer, so that a lone answer takes as long: p50"
          f" {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms: {found['p99_ms'] / found['p50_ms']:.1f} x; it took"
          f" {found['util']:.0%} of its core.", flush=True)  # fmt: skip


def cpu_each(server: Running) -> float:
    """Seconds of processor time that an answer takes of a server that is asked by one connection."""
    began = cpu_seconds(server.process.pid)
    answers = loaded(server.asked, 1, "2")["per_second"] * 2
    return (cpu_seconds(server.process.pid) - began) / answers


def at_rate(server: Running, seconds: str, rate: float) -> dict[str, float]:
    """The figures of an open load over 64 connections, and ``util``, the share of a core that it took of the server."""
    began = cpu_seconds(server.process.pid)
    found = paced(server.asked, 64, seconds, rate)
    found["util"] = (cpu_seconds(server.process.pid) - began) / float(seconds)
    return found


def overload(folder: Path, model: str, sent: Path, seconds: str) -> None:
    server = served(folder, model, sent, {"TRIMTAB_SERVE__MAX_WAIT_MS": "60000"})
    try:
        began = cpu_seconds(server.process.pid)
        peak = loaded(server.asked, 64, seconds)
        each = (cpu_seconds(server.process.pid) - began) / (peak["per_second"] * float(seconds))
    finally:
        stopped(server.process)
    # What requests wait for each other at the peak is what they may wait above it.
    wait, rate = f"{peak['p50_ms']:.1f}", peak["per_second"]
    loads = (
        ("0.9 x peak", 0.9, 256, seconds, 0.0),
        ("3 x peak", 3.0, 512, seconds, 0.0),
        ("0.5 x, right after", 0.5, 256, "3", 0.0),
        ("3 x peak, clients heed Retry-After", 3.0, 900, seconds, 1.0),
    )
    found = {}
    server = served(folder, model, sent, {"TRIMTAB_SERVE__MAX_WAIT_MS": wait})
    try:
        for name, times, connections, length, heeded in loads:
            began = cpu_seconds(server.process.pid)
            one = paced(server.asked, connections, length, times * rate, heeded)
            took = cpu_seconds(server.process.pid) - began
            one["efficiency"] = each * one["per_second"] * float(length) / took
            found[name] = one | {"resident_mb": resident_mb(server.process.pid)}
    finally:
        stopped(server.process)
    print(f"\n{model}, peak {rate:,.0f}/s at 64 connections (p99 {peak['p99_ms']:.1f} ms)\n"
          "| load | answers/s | of peak | of peak, by CPU time | refused/s | held back/s | p50 / p99 of answers, ms | p99 of refusals, ms |"
          " calm after, s | resident, MB | generator busy |\n|---|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for (name, _, _, length, _), one in zip(loads, found.values(), strict=True):
        print(f"| {name} | {one['per_second']:,.0f} | {one['per_second'] / rate:.2f} | {one['efficiency']:.2f} |"
              f" {one['refused_per_second']:,.0f} | {one['starved'] / float(length):,.0f} |"
              f" {one['p50_ms']:.1f} / {one['p99_ms']:.1f} | {one['refused_p99_ms']:.0f} |"
              f" {one['settled_s']:.2f} | {one['resident_mb']:.0f} | {one['busy']:.0%} |", flush=True)  # fmt: skip
    floor(sent, model, rate)


def floor(sent: Path, model: str, rate: float) -> None:
    """What it would take to read and refuse two requests for each one that is answered at the peak."""
    server = empty(sent, model)
    try:
        bare = loaded(server.asked, 64, "3")["per_second"]
    finally:
        stopped(server.process)
    print(f"Reading a request and writing a constant takes {1e6 / bare:.1f} us here, {rate / bare:.2f} of an"
          f" answer: to refuse all above the peak would take {2 * rate / bare:.0%} of the core.", flush=True)  # fmt: skip


def durable(folder: Path, model: str, sent: Path, seconds: str) -> None:
    """In turns, since a disk that others use is never the same twice."""
    rounds, each = 5, float(seconds) / 4
    server = served(folder, model, sent, {"TRIMTAB_JOURNAL__MODE": "durable"})
    pairs = []
    try:
        for _ in range(rounds):
            allowed = GroupCommit(folder / "floor").rate(each)
            pairs.append((loaded(server.asked, WRITERS, str(each))["per_second"], allowed))
    finally:
        stopped(server.process)
    server = served(folder, model, sent, {"TRIMTAB_JOURNAL__MODE": "bounded"})
    try:
        bounded = loaded(server.asked, WRITERS, str(each))["per_second"]
    finally:
        stopped(server.process)
    found, floor, ratio = (
        median(values)
        for values in (*zip(*pairs, strict=True), [one / other for one, other in pairs])
    )
    print(f"\n{model}, durable, {WRITERS} connections: {found:,.0f}/s; group commit of"
          f" {RECORD_BYTES} bytes by {WRITERS} threads {floor:,.0f}/s: {ratio:.2f} of it (median of"
          f" {rounds} turns); with bounded, where nobody waits for the disk, {bounded:,.0f}/s", flush=True)  # fmt: skip


class GroupCommit:
    """Threads that append to one file, of which one syncs for all that have written."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC)
        self._changed = threading.Condition()
        self._wrote = self._synced = 0
        self._busy = False

    def append(self) -> None:
        """Write a record and return once it is on disk."""
        with self._changed:
            os.write(self._fd, b"x" * RECORD_BYTES)
            self._wrote += 1
            mine = self._wrote
            self._changed.wait_for(lambda: self._synced >= mine or not self._busy)
            if self._synced >= mine:
                return
            self._busy, target = True, self._wrote
        os.fdatasync(self._fd)
        with self._changed:
            self._synced, self._busy = max(self._synced, target), False
            self._changed.notify_all()

    def rate(self, seconds: float) -> float:
        """Appends a second by all threads."""
        until, done = time.perf_counter() + seconds, [0] * WRITERS

        def work(number: int) -> None:
            while time.perf_counter() < until:
                self.append()
                done[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.close(self._fd)
        return sum(done) / seconds


def served(folder: Path, model: str, sent: Path, settings: Mapping[str, str]) -> Running:
    """Trimtab with settings of its own."""
    asked = Asked(free_port(), f"/models/{model}/predict", sent)
    os.environ.update(settings)
    try:
        words = command(folder, "trimtab", model, trained(folder, model), asked.port)
        return started(words, asked, folder / f"{model}-limits.log")
    finally:
        for name in settings:
            del os.environ[name]


def empty(sent: Path, model: str, *more: str) -> Running:
    """The empty handler, started."""
    asked = Asked(free_port(), f"/models/{model}/predict", sent)
    words = command(sent.parent, "trimtab-empty", model, sent, asked.port)
    return started([*words, *more], asked, sent.with_suffix(".log"))


def cpu_seconds(pid: int) -> float:
    """Processor time of the worker of a server so far, or of a server that is one process."""
    listed = subprocess.run(
        ["/bin/ps", "-o", "pid=,args=", "-s", str(pid)], check=True, capture_output=True, text=True
    ).stdout
    workers = (line.split()[0] for line in listed.splitlines() if "serve.worker" in line)
    worker = next(workers, pid)
    fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def paced(
    asked: Asked, connections: int, seconds: str, rate: float, retry_after: float = 0.0
) -> dict[str, float]:
    """The figures of an open load."""
    run = subprocess.run(
        ["/usr/bin/taskset", "-c", LOAD_CORE, sys.executable, str(HERE / "paced.py"),
         str(asked.port), asked.route, str(connections), seconds, str(asked.bodies), f"{rate:.1f}",
         str(retry_after)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(run.stdout)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
