"""What a worker does before it takes requests."""

from __future__ import annotations

import subprocess
import sys

TOLD = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[2])))
from trimtab.serve.worker import make_room
before = set(os.listdir("/proc/self/fd"))
make_room(int(sys.argv[1]))
assert set(os.listdir("/proc/self/fd")) == before
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("FDSize")))
"""


def table_with_room_for(files: int, limit: int) -> int:
    """The size of a process's table of open files."""
    run = subprocess.run(
        [sys.executable, "-c", TOLD, str(files), str(limit)],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(run.stdout)


def test_the_table_of_open_files_has_room_for_all_connections_from_the_start() -> None:
    assert table_with_room_for(900, limit=1_000) >= 900


def test_no_more_files_are_asked_for_than_the_limit_allows() -> None:
    assert table_with_room_for(900, limit=400) in range(256, 513)
