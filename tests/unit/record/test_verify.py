from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.config import JournalConfig
from trimtab.record.frames import frame
from trimtab.record.journal import Journal
from trimtab.record.reader import SegmentReader
from trimtab.record.verify import Damage, What, verify, verify_segment
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord

Make = Callable[..., PredictionRecord]
NAME = "1700000000000-1-00000000-000000.seg"


def a_record(unit: str) -> PredictionRecord:
    return PredictionRecord(
        "id", None, 0.0, 0.0, "m", 1, "sha256:00", 1, None, 0, 0.0, unit, True,
        (1.0,), "q", (None,), 0.5, (0.5, 0.5), True, 1.0,
    )  # fmt: skip


def framed(*records: PredictionRecord) -> bytes:
    return b"".join(frame(msgspec.msgpack.encode(record)) for record in records)


def test_no_journal_has_no_segments(tmp_path: Path) -> None:
    assert list(verify(tmp_path / "none")) == []


def test_a_sound_segment_is_counted_and_known_to_be_open(tmp_path: Path, make_record: Make) -> None:
    journal = Journal(tmp_path, JournalConfig(), Metrics(), FakeClock())
    journal.append([make_record(0), make_record(1)])
    (live,) = verify(tmp_path)
    assert (live.records, live.open, live.damage) == (2, True, [])
    journal.close()
    (closed,) = verify(tmp_path)
    assert (closed.records, closed.open) == (2, False)
    assert closed.size_bytes == (tmp_path / closed.segment).stat().st_size


def test_a_text_that_is_not_utf_8_makes_no_record(tmp_path: Path, make_record: Make) -> None:
    odd = msgspec.msgpack.encode(make_record(0)).replace(b"sha256:", b"sha256\xff")
    (tmp_path / NAME).write_bytes(frame(odd) + framed(make_record(1)))
    reader = SegmentReader(tmp_path, Metrics())
    (report,) = verify(tmp_path)
    assert (1, ["no_record"]) == (report.records, [one.what for one in report.damage])
    assert [make_record(1)] == list(reader.records()) == list(reader.read({}, 9)[0])


def test_a_torn_tail_and_what_is_no_record_are_told_apart(
    tmp_path: Path, make_record: Make
) -> None:
    first, odd = framed(make_record(0)), frame(b"no record")
    (tmp_path / NAME).write_bytes(first + odd + framed(make_record(1)) + odd[:-1])
    (report,) = verify(tmp_path)
    end = 2 * len(first) + len(odd)
    assert report.records == 2
    assert report.damage == [
        Damage(start=len(first), end=len(first) + len(odd), what="no_record"),
        Damage(start=end, end=end + len(odd) - 1, what="torn_tail"),
    ]


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal") / NAME


@settings(max_examples=200, deadline=None)
@given(
    units=st.lists(st.text(max_size=40), min_size=1, max_size=5),
    where=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_flipped_bit_is_found_where_it_is_and_costs_that_record(
    segment: Path, units: list[str], where: float, bit: int
) -> None:
    frames = [framed(a_record(unit)) for unit in units]
    data = bytearray(b"".join(frames))
    position = int(where * len(data))
    data[position] ^= 1 << bit
    segment.write_bytes(data)
    report = verify_segment(segment)
    start = 0
    while position >= start + len(frames[0]):
        start += len(frames.pop(0))
    assert report.records == len(units) - 1
    what: What = "damaged" if len(frames) > 1 else "torn_tail"
    assert report.damage == [Damage(start=start, end=start + len(frames[0]), what=what)]
