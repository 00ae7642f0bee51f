"""What one run costs: wall and processor seconds, and the peak of memory beyond what was there before."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def measure(run: Callable[[], object]) -> None:
    """Run once and print one line of JSON."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts from here
    before = _kib("VmRSS")
    wall, processor = time.perf_counter(), time.process_time()
    run()
    taken = {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - processor,
        "extra_mb": (_kib("VmHWM") - before) / 1_024,
    }
    print("\n" + json.dumps(taken))


def paths() -> tuple[str, str]:
    """The reference's and the current rows' Parquet files."""
    return sys.argv[1], sys.argv[2]


def _kib(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0
