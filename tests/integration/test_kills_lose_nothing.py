"""Law 9 over rotation and compaction: 200 kills at moments of their own lose nothing and repeat nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Children are forked from a process that has imported everything and done nothing else, so a kill
# costs milliseconds. It stays without threads: what reads or compacts does so in a child.
PRELUDE = """
import json, os, random, signal, sys, threading
from collections import Counter
from pathlib import Path
import pandas, pyarrow.parquet  # noqa: what Arrow imports at its first use
from trimtab.config import JournalConfig
from trimtab.record.compaction import compact, ready
from trimtab.record.frames import frame
from trimtab.record.journal import Journal
from trimtab.record.parts import part_files
from trimtab.record.reader import SegmentReader
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import FeatureKind, FeatureSpec, PredictionRecord, Signature, Task
import msgspec

SIGNATURE = Signature(
    features=tuple(FeatureSpec(name=f"f{n}", kind=FeatureKind.NUMERIC) for n in range(20)),
    task=Task.BINARY,
)

class Everything(dict):
    def get(self, name, default=None):
        return 2**60

def record(name, number):
    return PredictionRecord(
        name, None, 0.0, 43_200.0 * (number % 4), "ab"[number % 2], 1, "sha256:00", 1, None, 0,
        0.0, "", True, (1.0,) * 20, "q" * 20, (None,) * 20, 0.5, (0.5, 0.5), True, 1.0,
    )

def compact_all(directory, reached=lambda point: None):
    for path in ready(directory, Everything(), float("inf")):
        compact(path, lambda model, version: SIGNATURE, reached)

def forked(do, *given):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            do(*given)
            status = 0
        finally:
            os._exit(status)
    return pid

def told(do, *given):
    "What a child found out."
    mine, its = os.pipe()
    pid = forked(lambda: os.write(its, json.dumps(do(*given)).encode()))
    os.close(its)
    with os.fdopen(mine) as file:
        found = json.load(file)
    assert os.waitpid(pid, 0)[1] == 0
    return found

def names(directory):
    return [one.prediction_id for one in SegmentReader(directory, Metrics()).records()]
"""

KILLS = (
    PRELUDE
    + """
def write(directory, prefix, mode, pipe):
    config = JournalConfig(mode=mode, segment_bytes=4_000, sync_ms=5)
    journal = Journal(directory, config, Metrics(), FakeClock())

    def append(thread):
        for number in range(100_000):
            name = f"{prefix}.{thread}.{number}"
            journal.append([record(name, number)])
            os.write(pipe, f"{name}\\n".encode())

    threads = [threading.Thread(target=append, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

def compact_on(directory):
    while True:
        compact_all(directory)

chance = random.Random(20_261_127)
found = {"kills": 0, "acknowledged": 0, "lost": [], "twice": [], "within": 0, "parts": 0}
for number in range(int(sys.argv[2])):
    directory = Path(sys.argv[1]) / str(number // 20)
    directory.mkdir(exist_ok=True)
    if number % 20 == 0:
        acknowledged = set()
    mine, its = os.pipe()
    mode = "durable" if number % 5 == 0 else "bounded"
    writer = forked(write, directory, number, mode, its)
    compactor = forked(compact_on, directory)
    os.close(its)
    wanted = chance.randrange(1, 200)
    with os.fdopen(mine, "rb") as file:
        lines = [file.readline() for _ in range(wanted)]
        for pid in (writer, compactor) if number % 2 else (compactor, writer):
            os.kill(pid, signal.SIGKILL)
        lines += file.readlines()
    assert [os.waitpid(pid, 0)[1] for pid in (writer, compactor)] == [signal.SIGKILL] * 2
    acknowledged |= {line.decode().strip() for line in lines if line.endswith(b"\\n")}
    counted = Counter(told(names, directory))
    found["kills"] += 1
    found["acknowledged"] += len(lines)
    found["lost"] += sorted(acknowledged - set(counted))
    found["twice"] += sorted(name for name, times in counted.items() if times > 1)
    found["within"] += any(directory.rglob(".*.part"))
    found["parts"] += len(list(directory.rglob("*.parquet")))
print(json.dumps(found))
"""
)

POINTS = (
    PRELUDE
    + """
def fill(directory):
    directory.mkdir()
    path = directory / "1700000000000-1-00000000-000000.seg"
    framed = [frame(msgspec.msgpack.encode(record(str(n), n))) for n in range(1_100)]
    path.write_bytes(b"".join(framed))
    return path

def killed_at(directory, at):
    passed = []

    def reached(point):
        passed.append(point)
        if len(passed) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    compact_all(directory, reached)
    return passed

root = Path(sys.argv[1])
fill(root / "whole")
points = told(killed_at, root / "whole", 0)
expected = [str(n) for n in range(1_100)]
found = {"points": points, "wrong": []}
for at in range(1, len(points) + 1):
    directory = root / str(at)
    fill(directory)
    killed = os.waitpid(forked(killed_at, directory, at), 0)[1]
    after = told(names, directory) == expected
    assert os.waitpid(forked(compact_all, directory), 0)[1] == 0
    again = told(names, directory) == expected
    rest = [path.name for path in directory.rglob(".*.part")] + list(directory.glob("*.seg"))
    if (killed, after, again, rest) != (signal.SIGKILL, True, True, []):
        found["wrong"].append([points[at - 1], killed, after, again, list(map(str, rest))])
print(json.dumps(found))
"""
)

UNLOCKED = (
    PRELUDE
    + """
import fcntl
directory, inside = Path(sys.argv[1]), []

def compacts_at_that_moment(event, given):
    if event == "fcntl.flock" and given[1] == fcntl.LOCK_EX and not inside:
        inside.append(True)
        compact_all(directory)

sys.addaudithook(compacts_at_that_moment)
journal = Journal(directory, JournalConfig(), Metrics(), FakeClock())
journal.append([record("first", 0)])
journal.close()
print(json.dumps({"names": names(directory), "compacted": len(inside)}))
"""
)


def run(script: str, *words: object) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(KILLS, tmp_path_factory.mktemp("kills"), 200)


def test_200_kills_over_rotation_and_compaction_lose_nothing(killed: dict[str, Any]) -> None:
    assert (200, [], []) == (killed["kills"], killed["lost"], killed["twice"])
    assert killed["acknowledged"] > 10_000


def test_kills_hit_compactions_under_way(killed: dict[str, Any]) -> None:
    assert killed["within"] > 0
    assert killed["parts"] > 0


def test_a_kill_at_every_point_of_a_compaction_loses_nothing(tmp_path: Path) -> None:
    found = run(POINTS, tmp_path)
    assert [] == found["wrong"]
    expected = {"opened": 4, "read": 1, "finished": 4, "published": 4, "removed": 1, "synced": 1}
    assert expected == {point: found["points"].count(point) for point in expected}
    assert sum(expected.values()) == len(found["points"])


def test_a_segment_that_is_not_locked_yet_is_not_taken_for_one_that_was_left(
    tmp_path: Path,
) -> None:
    assert {"names": ["first"], "compacted": 1} == run(UNLOCKED, tmp_path)
