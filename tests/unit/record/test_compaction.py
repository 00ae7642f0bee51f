"""Compacted or not, the journal gives the same records in the same order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from trimtab.config import JournalConfig
from trimtab.errors import Unavailable
from trimtab.record.compaction import compact, forgotten, ready
from trimtab.record.frames import frame
from trimtab.record.journal import Journal
from trimtab.record.parts import PARTS, Span, part_files, read_part
from trimtab.record.reader import SegmentReader
from trimtab.record.table import FIELDS
from trimtab.record.verify import verify_parts
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import FeatureKind, FeatureSpec, PredictionRecord, Signature, Task

Make = Callable[..., PredictionRecord]
DAY = 86_400.0
KINDS = (
    FeatureKind.NUMERIC,
    FeatureKind.INTEGER,
    FeatureKind.BOOLEAN,
    FeatureKind.CATEGORICAL,
)
SIGNATURE = Signature(
    features=tuple(FeatureSpec(name=kind.value, kind=kind) for kind in KINDS), task=Task.BINARY
)
NAME = "1700000000000-1-00000000-000000.seg"


def journal(directory: Path, segment_bytes: int = 900) -> Journal:
    return Journal(directory, JournalConfig(segment_bytes=segment_bytes), Metrics(), FakeClock())


def known(_model: str, version: int) -> Signature | None:
    return SIGNATURE if version < 3 else None


def exactly(records: Sequence[PredictionRecord]) -> list[bytes]:
    """Bytes tell 1 from 1.0 and True, and NaN equals NaN."""
    return [msgspec.msgpack.encode(record) for record in records]


def everything(directory: Path) -> list[bytes]:
    return exactly(list(SegmentReader(directory, Metrics()).records()))


def everything_read(directory: Path) -> dict[str, int]:
    return dict(SegmentReader(directory, Metrics()).read({}, 10**6)[1])


def compact_all(directory: Path) -> None:
    for path in ready(directory, everything_read(directory), float("inf")):
        compact(path, known)


SCALARS = (
    st.none()
    | st.floats()
    | st.integers(-(2**70), 2**63 - 1).filter(lambda n: n >= -(2**63))
    | st.booleans()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
FITTING = st.tuples(
    st.none() | st.floats(),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.booleans(),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)


@st.composite
def recorded(draw: st.DrawFn) -> PredictionRecord:
    values = draw(FITTING | st.lists(SCALARS, max_size=5).map(tuple))
    return PredictionRecord(
        draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=4)),
        draw(st.none() | st.just("request")),
        draw(st.floats(-1e9, 1e9)),
        draw(st.floats(0, 3 * DAY)),
        draw(st.sampled_from(["m", "a model/of=any.name"])),
        draw(st.integers(1, 3)),
        "sha256:00",
        draw(st.integers(0, 2**62)),
        draw(st.none() | st.just("rollout")),
        0,
        draw(st.floats(0, 1)),
        "unit",
        draw(st.booleans()),
        values,
        "q" * len(values),
        tuple(draw(st.lists(st.none() | st.floats(), max_size=3))),
        draw(st.floats()),
        tuple(draw(st.lists(st.floats(), max_size=3))),
        draw(st.none() | st.booleans()),
        1.0,
        draw(st.none() | st.just("timeout")),
        draw(st.booleans()),
        draw(st.dictionaries(st.sampled_from(["user", "shop"]), st.text("ab", max_size=2))),
    )


@settings(max_examples=40, deadline=None)
@given(writers=st.lists(st.lists(recorded(), max_size=6), min_size=1, max_size=3), data=st.data())
def test_parts_give_back_each_record_exactly_and_in_order(
    writers: list[list[PredictionRecord]],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    for at, records in enumerate(writers):
        for number in (0, 1):  # two segments each
            framed = b"".join(frame(one) for one in exactly(records[number::2]))
            (directory / f"170000000000{number}-{at}-00000000-00000{number}.seg").write_bytes(
                framed
            )
    before = everything(directory)
    for path in sorted(directory.glob("*.seg")):
        if data.draw(st.booleans()):
            compact(path, known)
            assert not path.exists()
        assert everything(directory) == before


@settings(max_examples=40, deadline=None)
@given(shapes=st.lists(recorded(), min_size=1, max_size=3), data=st.data())
def test_records_that_look_alike_are_given_back_exactly_and_in_order(
    shapes: list[PredictionRecord],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    known_sizes = st.integers(2**32, 2**64 - 1)
    written = []
    for shape in shapes:
        for at in range(data.draw(st.sampled_from([1, 50]))):
            values = [
                data.draw(known_sizes) if type(value) is int and value >= 2**32 else value
                for value in shape.values
            ]
            if values:
                values[at % len(values)] = data.draw(st.sampled_from([values[0], None, "é", "abc"]))
            written.append(replace(shape, score=at / 7, values=tuple(values)))
    mixed = data.draw(st.permutations(written)) if len(written) < 60 else written
    (directory / NAME).write_bytes(b"".join(frame(one) for one in exactly(mixed)))
    before = everything(directory)
    compact(directory / NAME, known)
    assert everything(directory) == before
    found = sum(pl.read_parquet(part).height for part in part_files(directory))
    assert len(mixed) == found


def test_columns_of_records_that_look_alike_are_those_of_others(
    tmp_path: Path, make_record: Make
) -> None:
    alike = [
        make_record(
            at, version=1, sources="qrbd", entities={"user": f"{at}"}, shares=(0.5, 0.25, 0.25),
            values=(at / 3, 7 ** (at % 22), at % 2 == 0, ("", "bc", "é", None)[at % 4]),
            ages_seconds=(None, at / 2 if at % 3 else None, 1.5, None),
        )
        for at in range(100)
    ]  # fmt: skip
    alike += [
        replace(one, prediction_id=f"odd{at}", values=(one.values[0], *odd))
        for at, (one, odd) in enumerate(
            zip(alike, [(1, None, 2), (2**64 - 1, True, "a")], strict=False)
        )
    ]
    several = [alike[at : at + 20] for at in range(0, 102, 20)]  # too few to be a table
    tables = []
    for name, parts in (("together", [alike]), ("apart", several)):
        for at, part in enumerate(parts):
            path = tmp_path / name / NAME.replace("-000000", f"-{at:06d}")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"".join(frame(one) for one in exactly(part)))
            compact(path, known)
        read = [pl.read_parquet(part) for part in part_files(tmp_path / name)]
        tables.append(pl.concat(read).sort("_prediction_id").drop("_place"))
    assert tables[0].equals(tables[1], null_equal=True)
    assert [*(one.values[0] for one in alike[:100]), None, None] == tables[0]["numeric"].to_list()
    assert 2 == tables[0]["_raw"].count()


def test_every_field_has_its_column() -> None:
    fields = set(PredictionRecord.__struct_fields__)
    assert fields - {"values"} == set(FIELDS)


def test_what_is_open_unread_or_young_is_left(tmp_path: Path, make_record: Make) -> None:
    writer = journal(tmp_path)
    for number in range(25):
        writer.append([make_record(number)])
    segments = sorted(tmp_path.glob("*.seg"))
    offsets = everything_read(tmp_path)
    live = [path for path in segments if path not in ready(tmp_path, offsets, float("inf"))]
    writer.close()
    assert segments[-1] in live
    assert ready(tmp_path, offsets, float("inf")) == segments
    offsets[segments[0].name] -= 1
    del offsets[segments[1].name]
    assert ready(tmp_path, offsets, float("inf")) == segments[2:]
    os.utime(segments[2], (50.0, 50.0))
    assert ready(tmp_path, offsets, 50.0) == []
    assert ready(tmp_path, offsets, 51.0) == [segments[2]]


def test_the_watcher_never_sees_parts(tmp_path: Path, make_record: Make) -> None:
    writer = journal(tmp_path)
    for number in range(8):
        writer.append([make_record(number)])
    writer.close()
    reader = SegmentReader(tmp_path, Metrics())
    _, offsets = reader.read({}, 100)
    compact_all(tmp_path)
    assert reader.read(offsets, 100) == ([], {})
    assert forgotten(tmp_path, offsets) == sorted(offsets)
    assert forgotten(tmp_path, {"1700000000000-9-00000000-000000.seg": 7}) == []


def test_a_reader_that_is_under_way_misses_nothing(tmp_path: Path, make_record: Make) -> None:
    writer = journal(tmp_path)
    for number in range(40):
        writer.append([make_record(number)])
    writer.close()
    reader = SegmentReader(tmp_path, Metrics())
    under_way = reader.records()
    seen = [next(under_way)]
    compact_all(tmp_path)
    seen += under_way
    assert seen == [make_record(number) for number in range(40)]


@pytest.mark.parametrize("point", range(9))
def test_whatever_fails_on_the_way_nothing_is_lost_or_there_twice(
    point: int, tmp_path: Path, make_record: Make
) -> None:
    records = [make_record(n, version=1 + n % 2, wall_time=n * DAY / 2) for n in range(3)]
    (tmp_path / NAME).write_bytes(b"".join(frame(one) for one in exactly(records)))
    passed = 0

    def reached(_where: str) -> None:
        nonlocal passed
        passed += 1
        if passed == point + 1:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        compact(tmp_path / NAME, known, reached)
    assert everything(tmp_path) == exactly(records)
    if (tmp_path / NAME).exists():
        assert list((tmp_path / PARTS).rglob(".*.part")) == []
        compact(tmp_path / NAME, known)
    assert everything(tmp_path) == exactly(records)
    assert sum(1 for path in part_files(tmp_path) for _ in read_part(path, Span())) == 3


def test_damage_is_left_behind_and_the_rest_kept(tmp_path: Path, make_record: Make) -> None:
    frames = [frame(one) for one in exactly([make_record(n) for n in range(3)])]
    data = bytearray(b"".join(frames))
    data[len(frames[0]) + 30] ^= 1
    (tmp_path / NAME).write_bytes(data)
    assert compact(tmp_path / NAME, known).records == 2
    assert everything(tmp_path) == exactly([make_record(0), make_record(2)])


def test_a_flipped_bit_in_a_part_is_detected(tmp_path: Path, make_record: Make) -> None:
    (tmp_path / NAME).write_bytes(frame(*exactly([make_record(1)])))
    compact(tmp_path / NAME, known)
    (part,) = part_files(tmp_path)
    data = bytearray(part.read_bytes())
    data[len(data) // 4] ^= 1
    part.write_bytes(data)
    with pytest.raises(Unavailable) as damaged:
        everything(tmp_path)
    assert damaged.value.code == "journal_part_damaged"
    (report,) = verify_parts(tmp_path)
    assert [(0, len(data))] == [(spot.start, spot.end) for spot in report.damage]


def test_parts_are_chosen_by_model_and_event_time(tmp_path: Path, make_record: Make) -> None:
    records = [make_record(n, model="ab"[n % 2]) for n in range(8)]
    (tmp_path / NAME).write_bytes(b"".join(frame(one) for one in exactly(records)))
    compact(tmp_path / NAME, known)
    chosen = SegmentReader(tmp_path, Metrics()).records(since=2.0, until=6.0, model="a")
    assert [record.event_time for record in chosen] == [2.0, 4.0]


def test_other_tools_read_the_parts_by_model_and_day(tmp_path: Path, make_record: Make) -> None:
    records = [make_record(n, wall_time=n * DAY, version=1 + n % 2) for n in range(4)]
    (tmp_path / NAME).write_bytes(b"".join(frame(one) for one in exactly(records)))
    compact(tmp_path / NAME, known)
    pattern = tmp_path / PARTS / "*" / "*" / "*.parquet"
    rows = duckdb.execute(f"""
        SELECT trimtab_model, trimtab_day::VARCHAR, numeric, integer, boolean, categorical, _version
        FROM read_parquet('{pattern}', hive_partitioning = true, union_by_name = true)
        ORDER BY trimtab_day
    """).fetchall()  # noqa: S608 - a path of the test's own
    assert rows == [
        ("flights", f"1970-01-0{day}", 1.5, 3, True, "AA", 2 - day % 2) for day in range(1, 5)
    ]
    lazy = pl.scan_parquet(
        tmp_path / PARTS / "trimtab_model=flights" / "*" / "*.parquet",
        hive_partitioning=True,
        missing_columns="insert",
        extra_columns="ignore",
    )
    found = lazy.select("trimtab_model", "_event_time", "numeric").collect().rows()
    assert sorted(found) == [("flights", float(n), 1.5) for n in range(4)]
