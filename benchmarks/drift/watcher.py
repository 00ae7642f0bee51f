"""What the running watcher costs: `make bench-drift ARGS="watcher [rate=2000] [seconds=40] [features=60]"`.

Part 1 feeds a journal at a steady rate while a watcher process (the same loop as `trimtab serve`'s) reads
it, and takes that process's processor time after it has warmed up. Part 2 replays 24 hours of event time
and takes after each hour the resident memory, the live objects and the bytes of saved state.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from trimtab.config import Config, JournalConfig, StateConfig, WatchConfig
from trimtab.drift.profile import build_profile
from trimtab.record.journal import Journal
from trimtab.serve.watcher import watch
from trimtab.telemetry import Metrics
from trimtab.types import (
    Alias,
    Columns,
    FeatureKind,
    FeatureSpec,
    PredictionRecord,
    Signature,
    Task,
    Version,
)
from trimtab.wiring.clock import SystemClock
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.watching import Watching

WARM_SECONDS = 8.0
START = 1_700_000_000.0
DAY_RECORDS = 240_000


def columns(rows: int, features: int, seed: int) -> Columns:
    rng = np.random.default_rng(seed)
    specs, arrays = [], []
    for at in range(features):
        if at % 6 == 5:
            names = np.array([f"v{k}" for k in range(12)], dtype=object)
            specs.append(FeatureSpec(name=f"c{at}", kind=FeatureKind.CATEGORICAL))
            arrays.append(rng.choice(names, rows))
        else:
            specs.append(FeatureSpec(name=f"x{at}", kind=FeatureKind.NUMERIC))
            arrays.append(rng.normal(size=rows))
    return Columns(features=tuple(specs), arrays=tuple(arrays))


def deployed(folder: Path, features: int, watching: WatchConfig) -> Deployment:
    """A state directory with one version and its reference."""
    config = Config(state=StateConfig(dir=str(folder)), watch=watching)
    deployment = Deployment.open(config)
    reference = columns(20_000, features, 0)
    profile = build_profile(reference, scores=np.random.default_rng(1).random(20_000))
    file = folder / "profile"
    file.write_bytes(profile.dump())
    digest, size = deployment.blobs.put(file)
    version = Version(
        model="m", version=1, digest=digest, format="callable", size_bytes=size,
        signature=Signature(features=reference.features, task=Task.BINARY, labels=("no", "yes")),
        created_at=0.0, profile_digest=digest,
    )  # fmt: skip
    with deployment.state.transaction() as state:
        if state.registry.version("m", 1) is None:
            state.registry.add_version(version)
            state.registry.set_alias(
                Alias(model="m", alias="champion", version=1, since=0.0, actor="", reason="")
            )
    return deployment


def records(
    rows: list[tuple[object, ...]], start: int, count: int, step: float
) -> list[PredictionRecord]:
    made = []
    for at in range(start, start + count):
        values = rows[at % len(rows)]
        moment = START + at * step
        made.append(
            PredictionRecord(
                prediction_id=f"p{at:026d}", request_id=None, event_time=moment, wall_time=moment,
                model="m", version=1, digest="sha256:0", epoch=1, rollout=None, arm=0, share=0.0,
                unit="0123456789abcdef", sticky=True, values=values,  # type: ignore[arg-type]
                sources="q" * len(values), ages_seconds=(None,) * len(values),
                score=(at * 7919 % 1000) / 1000, outputs=(0.5, 0.5), positive=True, latency_ms=1.0,
            )
        )  # fmt: skip
    return made


def rows_of(features: int) -> list[tuple[object, ...]]:
    return list(zip(*(a.tolist() for a in columns(5_000, features, 2).arrays), strict=True))


def used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def watcher(folder: str, features: int, seconds: float) -> None:
    """The watcher process: its share of a core between warm-up and end, and the records it read."""
    deployment = deployed(Path(folder), features, WatchConfig(window_seconds=300.0))
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(deployment, Metrics(), stop))
    thread.start()
    stop.wait(WARM_SECONDS)
    began, cpu, before = time.monotonic(), used(), read(deployment)
    stop.wait(seconds - WARM_SECONDS)
    took, cost, after = time.monotonic() - began, used() - cpu, read(deployment)
    stop.set()
    thread.join()
    print(f"{cost / took:.4f} {(after - before) / took:.1f} {memory_mb():.0f}")


def read(deployment: Deployment) -> int:
    with deployment.state.reading() as state:
        return sum(predictions for predictions, _ in state.outcomes.counts("m").values())


def live(rate: int, seconds: float, features: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        deployed(Path(folder), features, WatchConfig()).close()
        journal = Journal(Path(folder) / "journal", JournalConfig(), Metrics(), SystemClock())
        rows = rows_of(features)
        child = subprocess.Popen(
            [sys.executable, __file__, "child", folder, str(features), str(seconds)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        began, sent = time.monotonic(), 0
        pause = threading.Event()
        while child.poll() is None:
            due = int((time.monotonic() - began) * rate)
            journal.append(records(rows, sent, due - sent, 1 / rate))
            sent = due
            pause.wait(0.05)
        journal.close()
        share, seen, memory = (child.stdout.read() if child.stdout else "0 0 0").split()
    print("| predictions/s sent | read | features | share of one core (aim 15 %) | memory |")
    print("|---|---|---|---|---|")
    print(f"| {rate:,} | {float(seen):,.0f} | {features} | {float(share):.1%} | {memory} MB |")


def day(features: int) -> None:
    """Hourly windows over a day; the journal is written as it is read, as in life."""
    with tempfile.TemporaryDirectory() as folder:
        config = WatchConfig(window_seconds=3_600.0, lateness_seconds=600.0)
        deployment = deployed(Path(folder), features, config)
        journal = Journal(Path(folder) / "journal", JournalConfig(), Metrics(), SystemClock())
        rows, step = rows_of(features), 86_400.0 / DAY_RECORDS
        watching, hourly = Watching.open(deployment, Metrics()), DAY_RECORDS // 24
        print("| hour of event time | resident (aim: flat) | live objects | bytes of saved state |")
        print("|---|---|---|---|", flush=True)
        for hour in range(24):
            for part in range(0, hourly, 2_000):
                journal.append(records(rows, hour * hourly + part, 2_000, step))
                while watching.tick().records:
                    pass
            with deployment.state.reading() as state:
                saved = sum(map(len, state.watch.blobs("").values()))
            gc.collect()
            live = len(gc.get_objects())
            print(f"| {hour + 1} | {memory_mb():.0f} MB | {live:,} | {saved:,} |", flush=True)
        journal.close()
    print(f"{DAY_RECORDS:,} predictions; SQLite keeps up to 8 MB of pages for each connection.")


def main(words: list[str]) -> None:
    if words[:1] == ["child"]:
        watcher(words[1], int(words[2]), float(words[3]))
        return
    options = dict(word.split("=", 1) for word in words)
    features = int(options.get("features", "60"))
    if options.get("part", "live") == "live":
        live(int(options.get("rate", "2000")), float(options.get("seconds", "40")), features)
    if options.get("part", "day") == "day":
        day(features)


if __name__ == "__main__":
    main(sys.argv[1:])
