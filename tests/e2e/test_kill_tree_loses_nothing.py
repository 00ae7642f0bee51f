"""Law 9 for everything at once: the whole process tree is killed mid-load, again and again.

Segments are rotated every few records and compacted meanwhile, and in the end all of them are.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from tests.e2e.clients import Load, eventually, journal, overview
from tests.e2e.conftest import Running, Start, rotating

from trimtab.record.parts import part_files, stem_of

KILLS = 5


def totals(server: Running) -> tuple[dict[int, int], int]:
    """Predictions by version, and outcomes, as the watcher has them."""
    versions = overview(server)["versions"]
    predictions = {v["version"]["version"]: v["predictions"] for v in versions}
    return predictions, sum(v["outcomes"] for v in versions)


def test_a_killed_tree_starts_again_and_has_lost_nothing(serve: Start, tmp_path: Path) -> None:
    moments = np.random.default_rng(20_131_231)
    config = rotating(tmp_path, workers=2)
    acknowledged: set[str] = set()
    outcomes: set[str] = set()
    for _ in range(KILLS):
        server = serve(config)
        with Load(server.url, outcomes=True) as load:
            load.more(int(moments.integers(20, 150)))
            server.kill_tree()
        assert {200} == set(load.statuses)
        acknowledged |= set(load.ids)
        outcomes |= set(load.outcomes)
    server = serve(config)
    with Load(server.url, outcomes=True) as load:
        load.more(50)
    acknowledged |= set(load.ids)
    outcomes |= set(load.outcomes)
    recorded = journal(config)
    ids = {record.prediction_id for record in recorded}
    by_version = dict(Counter(record.version for record in recorded))
    assert len(recorded) == len(ids)
    assert set() == acknowledged - ids
    seen, joined = eventually(
        lambda: totals(server), lambda found: found[0] == by_version and found[1] >= len(outcomes)
    )
    assert by_version == seen
    assert len(outcomes) <= joined <= len(outcomes) + 2 * KILLS
    server.process.terminate()
    server.process.wait(60)
    folder = tmp_path / "state" / "journal"
    compacted = {stem_of(part) for part in part_files(folder)}
    assert len(compacted | {segment.stem for segment in folder.glob("*.seg")}) > 3 * KILLS
    compact = [sys.executable, "-m", "trimtab.cli", "journal", "compact", "--config", str(config)]
    subprocess.run(compact, check=True, stdout=subprocess.DEVNULL)
    assert len({stem_of(part) for part in part_files(folder)}) > 2 * len(list(folder.glob("*.seg")))
    assert sorted(ids) == sorted(record.prediction_id for record in journal(config))
