from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from trimtab.config import JournalConfig
from trimtab.record.compaction import compact
from trimtab.record.frames import frame
from trimtab.record.journal import Journal
from trimtab.record.parts import part_files
from trimtab.record.retention import journal_bytes, outdated
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord

Make = Callable[..., PredictionRecord]
DAY = 86_400.0


def filled(directory: Path, make_record: Make) -> None:
    """Three days of parts, one in each, and nothing else."""
    path = directory / "1700000000000-1-00000000-000000.seg"
    records = [make_record(n, wall_time=n * DAY + 5) for n in range(3)]
    path.write_bytes(b"".join(frame(msgspec.msgpack.encode(one)) for one in records))
    compact(path, lambda _model, _version: None)


def test_by_default_all_is_kept(tmp_path: Path, make_record: Make) -> None:
    filled(tmp_path, make_record)
    assert outdated(tmp_path, {}, now=1e12) == []


def test_a_day_goes_when_all_of_it_is_too_old(tmp_path: Path, make_record: Make) -> None:
    filled(tmp_path, make_record)
    first, second, _ = part_files(tmp_path)
    assert outdated(tmp_path, {}, now=11 * DAY - 1, days=10) == []
    (gone,) = outdated(tmp_path, {}, now=11 * DAY, days=10)
    assert (str(first), "age", False) == (gone.path, gone.reason, gone.unread)
    both = outdated(tmp_path, {}, now=12.5 * DAY, days=10)
    assert [str(first), str(second)] == [one.path for one in both]


def test_the_oldest_go_until_the_rest_is_small_enough(tmp_path: Path, make_record: Make) -> None:
    filled(tmp_path, make_record)
    parts, total = part_files(tmp_path), sum(journal_bytes(tmp_path))
    assert outdated(tmp_path, {}, now=0, size_bytes=total) == []
    (gone,) = outdated(tmp_path, {}, now=0, size_bytes=total - 1)
    assert (str(parts[0]), "size") == (gone.path, gone.reason)
    assert len(outdated(tmp_path, {}, now=0, size_bytes=1)) == 3


def test_unread_segments_go_only_when_forced_and_open_ones_never(
    tmp_path: Path, make_record: Make
) -> None:
    config = JournalConfig(segment_bytes=1)
    journal = Journal(tmp_path, config, Metrics(), FakeClock())
    journal.append([make_record(0)])
    journal.append([make_record(1)])
    journal.close()
    live = Journal(tmp_path, config, Metrics(), FakeClock(now=1.8e9))
    live.append([make_record(2)])
    first, second, _ = sorted(tmp_path.glob("*.seg"))
    for path in tmp_path.glob("*.seg"):
        os.utime(path, (5.0, 5.0))
    offsets = {first.name: first.stat().st_size, second.name: second.stat().st_size - 1}

    def gone(*, force: bool) -> list[tuple[str, bool]]:
        found = outdated(tmp_path, offsets, now=1e9, days=1, size_bytes=1, force=force)
        return [(Path(one.path).name, one.unread) for one in found]

    assert gone(force=False) == [(first.name, False)]
    assert gone(force=True) == [(first.name, False), (second.name, True)]
    live.close()
