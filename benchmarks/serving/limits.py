"""`make bench-serving ARGS="limits ..."`: Trimtab at half of its peak, at three times its peak, and in durable mode.

``limits.py [parts=half,overload,durable] [model=rf] [seconds=8] [folder=DIR]``. One worker on one core, the load on
the other; a part takes about a minute. ``half``: p50 and p99 at half of the peak, beside those of
the empty handler with turns as long. ``overload``: goodput and
p99 of answers at three times the peak, ``max_wait_ms`` set to the peak's p50, in turns with the peak, beside those just below it, and how soon
all is well at half of it. ``durable``: requests per second at 64 connections in that mode, beside what appends of
the same size from 64 threads that share each ``fdatasync`` reach on the same disk.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    print(f"\n{model}, half of a peak of {peak:,.0f}/s: {tail(found)}; the worker took {found['util']:.0%} of"
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
    print(f"The empty handler at that rate, its turns {spin * 1e6:.0f} us longer, so that a lone answer takes as long:"
          f" {tail(found)}; it took"
          f" {found['util']:.0%} of its core.", flush=True)  # fmt: skip


def tail(found: Mapping[str, float]) -> str:
    """Median, p99, and the p99 of the median tenth of a second: what happens less often than five times a second is not in it."""
    p50, p99, tenth = (found[f"{name}_ms"] for name in ("p50", "p99", "tenth_p99"))
    return (f"p50 {p50:.2f} ms, p99 {p99:.2f} ms: {p99 / p50:.1f} x (in the median tenth of a second"
            f" {tenth:.2f} ms, {tenth / p50:.1f} x)")  # fmt: skip


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
    """Machines get slower and faster while one looks: each short turn of overload lies between two of the peak."""
    rounds, each = 12, str(float(seconds) / 4)
    patient = folder / "patient"  # each of two servers has a state of its own
    patient.mkdir(exist_ok=True)
    server = served(patient, model, sent, {"TRIMTAB_SERVE__MAX_WAIT_MS": "60000"})
    hasty = None
    try:
        loaded(server.asked, 64, "1")
        peaks = [peaked(server, each)]
        # What requests wait for each other at the peak is what they may wait above it.
        wait, rate = f"{peaks[0]['p50_ms']:.1f}", peaks[0]["per_second"]
        hasty = served(folder, model, sent, {"TRIMTAB_SERVE__MAX_WAIT_MS": wait})
        with still(server):
            found = [("0.9 x peak", pressed(hasty, 256, each, 0.9 * rate))]
        turns = []
        for _ in range(rounds):
            with still(server):
                turns.append(pressed(hasty, 512, each, 3 * peaks[-1]["per_second"]))
            with still(hasty):
                peaks.append(peaked(server, each))
        found.append((f"3 x peak, median of {rounds} turns", middle(turns)))
        with still(server):
            pressed(hasty, 512, each, 3 * rate)
            found.append(("0.5 x, right after 3 x", pressed(hasty, 256, "3", 0.5 * rate)))
            heeded = pressed(hasty, 900, str(2 * float(seconds)), 3 * rate, 1.0)
            found.append(("3 x, clients heed Retry-After", heeded))
    finally:
        stopped(server.process)
        if hasty is not None:
            stopped(hasty.process)
    low, high = (of(peak["per_second"] for peak in peaks) for of in (min, max))
    print(f"\n{model}, peaks of {low:,.0f} to {high:,.0f}/s at 64 connections, max_wait_ms {wait}\n"
          "| load | answers/s | refused/s | held back/s | p50 / p99 of answers, ms | p99 of refusals, ms |"
          " calm after, s | resident, MB | generator busy |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for name, one in found:
        print(f"| {name} | {one['per_second']:,.0f} | {one['refused_per_second']:,.0f} | {one['starved_per_second']:,.0f} |"
              f" {one['p50_ms']:.1f} / {one['p99_ms']:.1f} | {one['refused_p99_ms']:.0f} |"
              f" {one['settled_s']:.2f} | {one['resident_mb']:.0f} | {one['busy']:.0%} |", flush=True)  # fmt: skip
    for name, of in (
        ("Goodput at 3 x", "per_second"),
        ("The same by CPU time", "per_cpu_second"),
        ("p99 of answers at 3 x", "p99_ms"),
    ):
        ratios = [one[of] / ((before[of] + behind[of]) / 2)
                  for one, before, behind in zip(turns, peaks[:-1], peaks[1:], strict=True)]  # fmt: skip
        print(f"{name}: {median(ratios):.2f} of that of the peaks before and behind it"
              f" ({', '.join(f'{ratio:.2f}' for ratio in sorted(ratios))})", flush=True)  # fmt: skip
    floor(sent, model, rate)


def middle(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: median(turn[name] for turn in turns) for name in turns[0]}


@contextmanager
def still(server: Running) -> Iterator[None]:
    """Let a server do nothing meanwhile: its watcher would work off on this core what it has put off."""
    os.killpg(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(server.process.pid, signal.SIGCONT)


def peaked(server: Running, seconds: str) -> dict[str, float]:
    """The figures of 64 clients that ask as soon as they are answered."""
    began = cpu_seconds(server.process.pid)
    found = loaded(server.asked, 64, seconds)
    took = cpu_seconds(server.process.pid) - began
    return found | {"per_cpu_second": found["per_second"] * float(seconds) / took}


def pressed(
    server: Running, connections: int, seconds: str, rate: float, retry_after: float = 0.0
) -> dict[str, float]:
    """The figures of an open load, and what it cost the worker."""
    began = cpu_seconds(server.process.pid)
    found = paced(server.asked, connections, seconds, rate, retry_after)
    took = cpu_seconds(server.process.pid) - began
    return found | {
        "per_cpu_second": found["per_second"] * float(seconds) / took,
        "starved_per_second": found["starved"] / float(seconds),
        "resident_mb": resident_mb(server.process.pid),
    }


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
