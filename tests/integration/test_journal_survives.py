"""Law 9 with real processes and real limits: nothing acknowledged is lost, a full disk corrupts nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.record.reader import SegmentReader
from trimtab.telemetry import Metrics

PRELUDE = """
import json, os, resource, sys, threading
from pathlib import Path
from trimtab.config import JournalConfig
from trimtab.errors import Unavailable
from trimtab.record.journal import Journal
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord

def record(name):
    return PredictionRecord(
        name, None, 0.0, 0.0, "m", 1, "sha256:00", 1, None, 0, 0.0, "", True,
        (1.0,) * 20, "q" * 20, (None,) * 20, 0.5, (0.5, 0.5), True, 1.0,
    )
"""

WRITER = (
    PRELUDE
    + """
config = JournalConfig(mode=sys.argv[2], segment_bytes=20_000, sync_ms=5)
journal = Journal(Path(sys.argv[1]), config, Metrics(), FakeClock())

def write(thread):
    number = 0
    while True:
        name = f"{thread}-{number}"
        journal.append([record(name)])
        os.write(1, f"{name}\\n".encode())
        number += 1

for thread in range(3):
    threading.Thread(target=write, args=(thread,)).start()
"""
)

FULL = (
    PRELUDE
    + """
directory, on_full = Path(sys.argv[1]), sys.argv[2]
metrics = Metrics()
journal = Journal(directory, JournalConfig(on_full=on_full), metrics, FakeClock())
journal.append([record("before-0"), record("before-1")])
(path,) = directory.iterdir()
size = path.stat().st_size
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 3 * (size // 2) // 2, hard))
code = None
try:
    journal.append([record("lost-0"), record("lost-1"), record("lost-2")])
except Unavailable as refused:
    code = refused.code
after = path.stat().st_size
journal.append([record("fits")])
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.append([record("later-0"), record("later-1"), record("later-2")])
journal.close()
dropped = metrics.registry.get_sample_value(
    "ml_prediction_log_dropped_total", {"reason": "efbig"}
)
print(json.dumps({"code": code, "cut": after == size, "dropped": dropped}))
"""
)


def names(directory: Path) -> list[str]:
    return [record.prediction_id for record in SegmentReader(directory, Metrics()).records()]


@pytest.mark.parametrize("mode", ["bounded", "durable"])
@pytest.mark.parametrize("moment", range(6))
def test_kill_9_loses_no_acknowledged_record(mode: str, moment: int, tmp_path: Path) -> None:
    acknowledged = random.Random(f"{mode}{moment}").randrange(1, 300)  # noqa: S311 - the same in each run
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), mode], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(acknowledged)]
        writer.kill()
        lines += writer.stdout.readlines()
    told = [line.decode().strip() for line in lines if line.endswith(b"\n")]
    found = names(tmp_path)
    assert len(told) >= acknowledged
    assert set(told) <= set(found)
    assert len(found) <= len(told) + 3  # one that was not yet acknowledged, for each thread
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("on_full", "expected"),
    [
        ("refuse", {"code": "journal_unavailable", "cut": True, "dropped": None}),
        ("drop", {"code": None, "cut": True, "dropped": 3.0}),
    ],
)
def test_a_full_disk_takes_all_or_none_and_recovers(
    on_full: str, expected: dict[str, object], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), on_full],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert json.loads(done.stdout) == expected
    assert names(tmp_path) == ["before-0", "before-1", "fits", "later-0", "later-1", "later-2"]
