from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

from trimtab.config import JournalConfig
from trimtab.errors import Unavailable
from trimtab.record.journal import Journal
from trimtab.record.reader import SegmentReader
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord

Make = Callable[..., PredictionRecord]
Mode = Literal["durable", "bounded"]


def read(directory: Path) -> list[PredictionRecord]:
    return list(SegmentReader(directory, Metrics()).records())


@pytest.mark.parametrize("mode", ["durable", "bounded"])
def test_what_was_appended_is_there_when_append_returns(
    mode: Mode, tmp_path: Path, make_record: Make
) -> None:
    journal = Journal(tmp_path / "new", JournalConfig(mode=mode), Metrics(), FakeClock())
    records = [make_record(n) for n in range(3)]
    journal.append(records[:2])
    assert read(tmp_path / "new") == records[:2]
    journal.append(records[2:])
    assert read(tmp_path / "new") == records
    journal.close()


def test_nothing_appended_leaves_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, JournalConfig(), Metrics(), FakeClock())
    journal.append([])
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_segments_rotate_and_their_names_sort_by_creation(
    tmp_path: Path, make_record: Make
) -> None:
    clock = FakeClock(now=1.7e9)
    journal = Journal(tmp_path, JournalConfig(segment_bytes=300), Metrics(), clock)
    for number in range(20):
        clock.advance(-0.5 if number % 3 else 1.0)  # a wall clock may be set back
        journal.append([make_record(number)])
    journal.close()
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 10
    assert all(re.fullmatch(r"\d{13}-\d+-[0-9a-f]{8}-\d{6}\.seg", name) for name in names)
    numbers = [int(name[-10:-4]) for name in sorted(names)]
    assert numbers == list(range(10))
    assert read(tmp_path) == [make_record(number) for number in range(20)]


def test_two_journals_in_one_folder_never_share_a_file(tmp_path: Path, make_record: Make) -> None:
    clock = FakeClock()
    first = Journal(tmp_path, JournalConfig(), Metrics(), clock)
    second = Journal(tmp_path, JournalConfig(), Metrics(), clock)
    first.append([make_record(0)])
    second.append([make_record(1)])
    first.close()
    second.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert read(tmp_path) == [make_record(0), make_record(1)]


@pytest.mark.parametrize("mode", ["durable", "bounded"])
def test_many_threads_lose_nothing(mode: Mode, tmp_path: Path, make_record: Make) -> None:
    journal = Journal(
        tmp_path, JournalConfig(mode=mode, segment_bytes=2_000), Metrics(), FakeClock()
    )
    gate = threading.Barrier(8)

    def write(thread: int) -> None:
        gate.wait()
        for number in range(10):
            journal.append([make_record(100 * thread + number)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    journal.close()
    expected = sorted(100 * thread + number for thread in range(8) for number in range(10))
    assert sorted(int(record.prediction_id, 16) for record in read(tmp_path)) == expected


def test_bytes_are_counted(tmp_path: Path, make_record: Make) -> None:
    metrics = Metrics()
    journal = Journal(tmp_path, JournalConfig(), metrics, FakeClock())
    journal.append([make_record(0)])
    journal.append([make_record(1)])
    journal.close()
    (path,) = tmp_path.iterdir()
    counted = metrics.registry.get_sample_value("ml_journal_bytes_total")
    assert counted == path.stat().st_size


def test_a_segment_that_is_no_longer_sound_is_left(tmp_path: Path, make_record: Make) -> None:
    journal = Journal(tmp_path, JournalConfig(), Metrics(), FakeClock())
    journal.append([make_record(0)])
    assert journal._segment is not None
    journal._segment.takes = False
    journal.append([make_record(1)])
    journal.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert read(tmp_path) == [make_record(0), make_record(1)]


def test_a_folder_that_cannot_be_made_refuses_and_recovers(
    tmp_path: Path, make_record: Make
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    journal = Journal(blocked / "journal", JournalConfig(), Metrics(), FakeClock())
    with pytest.raises(Unavailable) as refused:
        journal.append([make_record(0)])
    assert refused.value.code == "journal_unavailable"
    assert refused.value.hint
    blocked.unlink()
    journal.append([make_record(1)])
    journal.close()
    assert read(blocked / "journal") == [make_record(1)]


def test_where_drops_are_allowed_they_are_counted_by_reason(
    tmp_path: Path, make_record: Make
) -> None:
    metrics = Metrics()
    blocked = tmp_path / "file"
    blocked.write_text("")
    journal = Journal(blocked / "journal", JournalConfig(on_full="drop"), metrics, FakeClock())
    journal.append([make_record(0), make_record(1)])
    journal.close()
    dropped = metrics.registry.get_sample_value(
        "ml_prediction_log_dropped_total", {"reason": "enotdir"}
    )
    assert dropped == 2


def test_a_closed_journal_refuses(tmp_path: Path, make_record: Make) -> None:
    journal = Journal(tmp_path, JournalConfig(), Metrics(), FakeClock())
    journal.append([make_record(0)])
    journal.close()
    journal.close()
    with pytest.raises(Unavailable) as refused:
        journal.append([make_record(1)])
    assert refused.value.code == "journal_closed"
