"""Law 9: `kill -9` of real workers and the watcher at random moments under load, over rotation and compaction.

``make bench-serving ARGS=kills`` does the same 200 times.
"""

from __future__ import annotations

from pathlib import Path

from tests.e2e.killed_workers import run

KILLS = 30


def test_kills_at_any_moment_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    found = run(tmp_path, KILLS)
    assert ([], [], []) == (found["lost"], found["twice"], found["refused"])
    assert sum(found["kills"].values()) >= KILLS
    assert found["kills"]["worker"] > found["kills"]["watcher"] > 0
    assert found["acknowledged"] > 10 * KILLS
    assert found["parts"] > 0  # compacted between kills
    assert found["parts"] + found["segments"] > KILLS  # rotated
