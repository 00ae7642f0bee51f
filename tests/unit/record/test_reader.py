from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from trimtab.config import JournalConfig
from trimtab.record.frames import frame
from trimtab.record.journal import Journal
from trimtab.record.reader import SegmentReader
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord

Make = Callable[..., PredictionRecord]


def journal(directory: Path, segment_bytes: int = 10**6) -> Journal:
    return Journal(directory, JournalConfig(segment_bytes=segment_bytes), Metrics(), FakeClock())


def damaged(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("ml_journal_damaged_bytes_total")


def drain(reader: SegmentReader, limit: int) -> list[PredictionRecord]:
    offsets: Mapping[str, int] = {}
    found: list[PredictionRecord] = []
    while True:
        records, offsets = reader.read(offsets, limit)
        if not records:
            return found
        found += records


def test_an_empty_or_absent_folder_has_no_records(tmp_path: Path) -> None:
    assert SegmentReader(tmp_path, Metrics()).read({}, 10) == ([], {})
    assert SegmentReader(tmp_path / "none", Metrics()).read({}, 10) == ([], {})


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_the_order_does_not_depend_on_how_much_is_read_at_once(
    limit: int, tmp_path: Path, make_record: Make
) -> None:
    writers = [journal(tmp_path, segment_bytes=500) for _ in range(3)]
    times = [5, 1, 4, 4, 2, 9, 9, 3, 8, 6, 6, 7]
    for number, time in enumerate(times):
        writers[number % 3].append([make_record(number, wall_time=float(time))])
    for writer in writers:
        writer.close()
    reader = SegmentReader(tmp_path, Metrics())
    assert drain(reader, limit) == list(reader.records())
    assert len(list(reader.records())) == len(times)


def test_concurrent_writers_are_merged_by_wall_time(tmp_path: Path, make_record: Make) -> None:
    first, second = journal(tmp_path, segment_bytes=300), journal(tmp_path)
    for number in range(12):
        (first if number % 3 else second).append([make_record(number)])
    first.close()
    second.close()
    assert drain(SegmentReader(tmp_path, Metrics()), 5) == [make_record(n) for n in range(12)]


def test_reading_goes_on_where_it_stopped_while_the_writer_lives(
    tmp_path: Path, make_record: Make
) -> None:
    writer = journal(tmp_path)
    reader = SegmentReader(tmp_path, Metrics())
    writer.append([make_record(0)])
    records, offsets = reader.read({}, 10)
    assert records == [make_record(0)]
    assert reader.read(offsets, 10) == ([], offsets)
    writer.append([make_record(1)])
    records, offsets = reader.read(offsets, 10)
    assert records == [make_record(1)]
    writer.close()


def test_no_more_than_the_limit_is_read_at_once(tmp_path: Path, make_record: Make) -> None:
    writer = journal(tmp_path)
    writer.append([make_record(number) for number in range(5)])
    writer.close()
    reader = SegmentReader(tmp_path, Metrics())
    records, offsets = reader.read({}, 2)
    assert records == [make_record(0), make_record(1)]
    records, _ = reader.read(offsets, 3)
    assert records == [make_record(2), make_record(3), make_record(4)]


def test_what_is_left_is_told_by_the_size_of_what_was_read(
    tmp_path: Path, make_record: Make
) -> None:
    writers = [journal(tmp_path), journal(tmp_path)]
    for writer in writers:
        writer.append([make_record(number) for number in range(6)])
        writer.close()
    reader = SegmentReader(tmp_path, Metrics())
    assert reader.unread({}) == 0  # nothing was read: nobody knows how large they are
    offsets: Mapping[str, int] = {}
    for left in (7, 2, 0, 0):
        _, offsets = reader.read(offsets, 5)
        assert reader.unread(offsets) == left
    next(tmp_path.iterdir()).unlink()
    assert reader.unread({}) == 6


def test_offsets_of_segments_that_are_gone_are_dropped(tmp_path: Path, make_record: Make) -> None:
    writer = journal(tmp_path)
    writer.append([make_record(0)])
    writer.close()
    reader = SegmentReader(tmp_path, Metrics())
    _, offsets = reader.read({"0000000000000-1-00000000-000000.seg": 7}, 10)
    (path,) = tmp_path.iterdir()
    assert offsets == {path.name: path.stat().st_size}
    path.unlink()
    assert reader.read(offsets, 10) == ([], {})


def test_a_torn_tail_is_left_while_its_writer_lives_and_damage_after(
    tmp_path: Path, make_record: Make
) -> None:
    writer = journal(tmp_path)
    writer.append([make_record(0)])
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(frame(b"torn")[:-1])
    metrics = Metrics()
    reader = SegmentReader(tmp_path, metrics)
    records, offsets = reader.read({}, 10)
    assert (records, damaged(metrics)) == ([make_record(0)], 0.0)
    writer.close()
    records, offsets = reader.read(offsets, 10)
    assert (records, damaged(metrics)) == ([], 15.0)
    assert offsets == {path.name: path.stat().st_size}
    assert reader.read(offsets, 10) == ([], offsets)
    assert damaged(metrics) == 15.0


def test_damage_in_the_middle_costs_one_record_and_is_counted_once(
    tmp_path: Path, make_record: Make
) -> None:
    writer = journal(tmp_path)
    for number in range(3):
        writer.append([make_record(number)])
    writer.close()
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    size = len(data) // 3
    data[size + 30] ^= 1
    path.write_bytes(data)
    metrics = Metrics()
    reader = SegmentReader(tmp_path, metrics)
    assert drain(reader, 1) == [make_record(0), make_record(2)]
    assert damaged(metrics) == size
    assert len(list(reader.records())) == 2
    assert damaged(metrics) == size


def test_a_sound_frame_that_holds_no_record_is_damage(tmp_path: Path, make_record: Make) -> None:
    payload = b"no record"
    data = frame(payload) + frame(msgspec.msgpack.encode(make_record(1)))
    (tmp_path / "1700000000000-1-00000000-000000.seg").write_bytes(data)
    metrics = Metrics()
    assert drain(SegmentReader(tmp_path, metrics), 10) == [make_record(1)]
    assert damaged(metrics) == len(payload)


def test_records_are_chosen_by_event_time_and_model(tmp_path: Path, make_record: Make) -> None:
    writer = journal(tmp_path)
    writer.append([make_record(n, model="ab"[n % 2]) for n in range(8)])
    writer.close()
    reader = SegmentReader(tmp_path, Metrics())
    chosen = reader.records(since=2.0, until=6.0, model="a")
    assert [record.event_time for record in chosen] == [2.0, 4.0]
