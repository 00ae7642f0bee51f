"""The journal's group commit beside what the disk allows, in turns: ``run.py durable [rounds=5] [seconds=2]``.

The floor: one thread that appends as many frames as there are waiting callers, syncs, and begins again. The journal:
so many coroutines of one event loop, each of which waits until its record is on disk before its next one. On the same
disk, which is that of ``folder=DIR``, by default the temporary one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from trimtab.config import JournalConfig
from trimtab.record.frames import frame
from trimtab.record.journal import Journal
from trimtab.telemetry import Metrics
from trimtab.types import PredictionRecord
from trimtab.wiring.clock import SystemClock

CALLERS = (1, 16, 64)
RECORD = PredictionRecord(
    "0" * 32, None, 1.7e9, 1.7e9, "m", 1, "sha256:" + "0" * 64, 1, None, 0, 0.0, "0" * 16, True,
    tuple(0.1 * n for n in range(30)), "q" * 30, (None,) * 30, 0.5, (0.5, 0.5), True, 1.0,
)  # fmt: skip


def floor(folder: Path, callers: int, seconds: float) -> float:
    """Records a second when nothing but the disk is waited for."""
    data = frame(msgspec.msgpack.encode(RECORD)) * callers
    descriptor = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        os.write(descriptor, data)
        os.fdatasync(descriptor)
        done += callers
    took = time.perf_counter() - began
    os.close(descriptor)
    return done / took


async def journal(folder: Path, callers: int, seconds: float) -> float:
    """Records a second through the journal in mode ``durable``."""
    writer = Journal(folder / "journal", JournalConfig(mode="durable"), Metrics(), SystemClock())
    began, done = time.perf_counter(), 0

    async def call() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            waiting = writer.put((RECORD,))
            assert waiting is not None
            await waiting
            done += 1

    await asyncio.gather(*(call() for _ in range(callers)))
    took = time.perf_counter() - began
    writer.close()
    return done / took


def main(arguments: Sequence[str]) -> None:
    given = dict(word.split("=", 1) for word in arguments)
    rounds, seconds = int(given.get("rounds", "5")), float(given.get("seconds", "2"))
    print("callers  the disk allows  journal, durable  ratio (median of", rounds, "rounds)")
    with tempfile.TemporaryDirectory(dir=given.get("folder")) as made:
        folder = Path(made)
        for callers in CALLERS:
            pairs = []
            for _ in range(rounds):
                allowed = floor(folder, callers, seconds)
                pairs.append((allowed, asyncio.run(journal(folder, callers, seconds))))
            allowed = median(pair[0] for pair in pairs)
            reached = median(pair[1] for pair in pairs)
            ratio = median(pair[1] / pair[0] for pair in pairs)
            print(f"{callers:7}  {allowed:13,.0f}/s  {reached:14,.0f}/s  {ratio:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
