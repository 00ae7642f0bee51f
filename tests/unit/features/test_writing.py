from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.config import FeaturesConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.errors import InvalidConfig, InvalidRow, NotFound, Unavailable
from trimtab.features.batches import rows_of
from trimtab.features.history import History, batches_from, history_of
from trimtab.features.materialise import Ledger, materialise
from trimtab.features.stores.memory import MemoryStore
from trimtab.features.writing import (
    RowReader,
    Tally,
    Written,
    unix_seconds,
    writable,
    write_rows,
)
from trimtab.testing import FakeClock
from trimtab.types import SourceProgress, StoredRow

WEATHER = ViewConfig(
    entity="origin",
    realtime="online",
    features=(
        ViewFeature(name="wind", minimum=0.0),
        ViewFeature(name="sky", kind="categorical", allowed=("clear", "fog")),
    ),
)


def write(
    rows: Sequence[Mapping[str, Any]], store: MemoryStore, view: ViewConfig = WEATHER
) -> Written:
    tally = Tally()
    reader = RowReader(view, FakeClock(), "at")
    asyncio.run(write_rows(store, "weather", rows, reader, tally, batch_rows=3))
    return tally.written()


def row(origin: object, at: object, wind: object = 1.0, sky: object = "fog") -> dict[str, Any]:
    return {"origin": origin, "at": at, "wind": wind, "sky": sky}


def test_the_newest_event_of_an_entity_stands_in_the_end() -> None:
    store = MemoryStore()
    rows = [row("JFK", 3, 3.0), row("JFK", 1, 1.0), row("LGA", 2, 2.0), row("JFK", 2, 9.0)]
    assert write(rows, store) == Written(rows=4, kept=2)
    assert store._rows["weather", "JFK"] == StoredRow(
        values={"wind": 3.0, "sky": "fog"}, event_time=3.0
    )
    assert write([row("JFK", 3, 4.0), row("JFK", 3, 5.0)], store).kept == 1
    assert store._rows["weather", "JFK"].values["wind"] == 5.0


def test_a_value_that_the_view_does_not_declare_is_left_out_and_counted() -> None:
    store = MemoryStore()
    rows = [row("JFK", 1, "3"), row("LGA", 1, -1.0), row("EWR", 1, 2.0, "rain"), row("A", 1, None)]
    written = write(rows, store)
    assert (written.kept, written.refused, written.values_refused) == (4, 0, {"wind": 2, "sky": 1})
    assert written.examples[0] == "wind: '3' is not a finite number, exact as a float"
    assert store._rows["weather", "JFK"].values == {"sky": "fog"}
    assert store._rows["weather", "EWR"].values == {"wind": 2.0}


def test_a_row_without_a_key_or_a_time_is_refused_whole() -> None:
    future = FakeClock().now() + 301
    rows = [row(None, 1), row("", 1), row(1.5, 1), row("JFK", None), row("JFK", "noon")]
    rows += [row("JFK", future), row("JFK", -1), row("\ud800", 1)]
    store = MemoryStore()
    assert write(rows, store).refused == len(rows)
    assert store._rows == {}


def test_a_row_with_no_feature_of_the_view_takes_nothing_away() -> None:
    store = MemoryStore()
    write([row("JFK", 1, 1.0)], store)
    found = write([{"origin": "JFK", "at": 2, "wnd": 3.0}], store)
    assert (1, 0, 1) == (found.rows, found.kept, found.refused)
    assert "has no feature of the view" in found.examples[0]
    assert {"wind": 1.0, "sky": "fog"} == store._rows["weather", "JFK"].values
    assert 1 == write([{"origin": "JFK", "at": 3, "wind": None}], store).kept
    assert {} == store._rows["weather", "JFK"].values


def test_keys_are_text_or_integers_of_any_kind() -> None:
    store = MemoryStore()
    pair = ViewConfig(entity=("a", "b"), features=(ViewFeature(name="x"),))
    rows = [{"a": np.int64(7), "b": "é|", "x": 1.0, "at": 1}]
    assert write(rows, store, pair).kept == 1
    assert list(store._rows) == [("weather", "7|é%7C")]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (5, 5.0),
        (np.float32(1.5), 1.5),
        (datetime(1970, 1, 1, 0, 0, 7), 7.0),  # noqa: DTZ001 - a naive time is UTC
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0.0),
        (datetime(1970, 1, 2, tzinfo=UTC), 86_400.0),
        ("1970-01-01T00:01:00+00:00", 60.0),
        (True, None),
        (float("nan"), None),
        (None, None),
        ("noon", None),
    ],
)
def test_a_time_is_seconds_or_a_moment(value: object, seconds: float | None) -> None:
    assert unix_seconds(value) == seconds


def test_without_a_time_column_an_event_is_of_now() -> None:
    reader = RowReader(WEATHER, FakeClock())
    _, stored = reader.read({"origin": "JFK", "wind": 1.0}, "rows[0]", lambda *_: None)
    assert stored.event_time == FakeClock().now()
    assert reader.columns == ("origin", "wind", "sky")


def test_a_view_without_a_realtime_store_is_not_written_to() -> None:
    with pytest.raises(InvalidConfig) as caught:
        writable(ViewConfig(entity="origin", features=WEATHER.features), "weather")
    assert caught.value.path == "features.views.weather.realtime"


def test_rows_of_a_table_without_a_column_are_refused() -> None:
    with pytest.raises(InvalidRow, match="'wind'"):
        list(rows_of([pa.table({"origin": ["JFK"]})], ("origin", "wind")))


# ------------------------------------------------------------------------ history


def history(folder: Path, *counts: int) -> History:
    """Files of so many rows each, in row groups of four; the wind is the event's number."""
    at = 0
    for number, count in enumerate(counts):
        file = folder / f"part-{number}.parquet"
        events = range(at, at + count)
        at += count
        if file.is_file() and pq.read_metadata(file).num_rows == count:
            continue
        table = pa.table(
            {
                "origin": [f"o{event % 3}" for event in events],
                "event_time": [float(event) for event in events],
                "wind": [float(event) for event in events],
                "sky": ["fog"] * count,
            }
        )
        pq.write_table(table, file, row_group_size=4)
    files = tuple(str(path) for path in sorted(folder.glob("*.parquet")))
    return History(view="weather", files=files, keys=("origin",), time_column="event_time")


class Book:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, SourceProgress] = {}
        self.saves = 0

    def save(self, progress: SourceProgress) -> None:
        self.kept[progress.source] = progress
        self.saves += 1

    def ledger(self) -> Ledger:
        return Ledger(lambda: dict(self.kept), self.save)


def run(source: History, store: MemoryStore, book: Book) -> Written:
    return asyncio.run(materialise(source, WEATHER, store, book.ledger(), FakeClock()))


@pytest.mark.parametrize("done", range(12))
def test_reading_goes_on_where_it_was(tmp_path: Path, done: int) -> None:
    (file,) = history(tmp_path, 11).files
    batches = list(batches_from(file, done, 3))
    times = [time for batch in batches for time in batch.column("event_time").to_pylist()]
    assert times == [float(event) for event in range(done, 11)]
    assert all(0 < batch.num_rows <= 3 for batch in batches)


def test_what_was_read_is_not_read_again(tmp_path: Path) -> None:
    source, store, book = history(tmp_path, 5, 6), MemoryStore(), Book()
    assert run(source, store, book).rows == 11
    assert run(source, store, book) == Written()
    more = history(tmp_path, 5, 6, 2)
    assert run(more, store, book).rows == 2
    assert store._rows["weather", "o0"].event_time == 12.0


def test_a_file_that_changed_is_read_from_its_beginning(tmp_path: Path) -> None:
    store, book = MemoryStore(), Book()
    run(history(tmp_path, 5), store, book)
    assert run(history(tmp_path, 7), store, book).rows == 7


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    source = history(tmp_path, 5, 6)
    asyncio.run(
        materialise(
            source,
            WEATHER,
            MemoryStore(),
            Book().ledger(),
            FakeClock(),
            lambda *at: told.append(at),
        )
    )
    assert (told[0], told[-1]) == ((0, 11), (11, 11))


def test_the_history_is_named_or_that_of_the_batch_store(tmp_path: Path) -> None:
    stores = {
        "nightly": StoreConfig(
            kind="parquet",
            url=str(tmp_path),
            options={"entity_column": "id", "event_time_column": "at"},
        ),
        "live": StoreConfig(kind="memory"),
    }
    named = ViewConfig(
        entity="origin", features=WEATHER.features, history=str(tmp_path / "**" / "*.parquet")
    )
    batch = ViewConfig(entity="origin", features=WEATHER.features, batch="nightly")
    bare = ViewConfig(entity="origin", features=WEATHER.features, batch="live")
    views = {"named": named, "batch one": batch, "bare": bare}
    config = FeaturesConfig(stores=stores, views=views)
    with pytest.raises(NotFound):
        history_of(config, "named", tmp_path)
    with pytest.raises(NotFound):
        history_of(config, "batch one", tmp_path)
    file = tmp_path / "batch one.parquet"
    pq.write_table(pa.table({"id": ["JFK"]}), file)
    assert history_of(config, "named", tmp_path).files == (str(file),)
    assert history_of(config, "batch one", tmp_path) == History(
        view="batch one", files=(str(file),), keys=("id",), time_column="at"
    )
    with pytest.raises(InvalidConfig) as caught:
        history_of(config, "bare", tmp_path)
    assert caught.value.path == "features.views.bare.history"


def test_a_file_that_is_no_parquet_is_an_error_that_says_so(tmp_path: Path) -> None:
    file = tmp_path / "part.parquet"
    file.write_text("no")
    broken = History(view="weather", files=(str(file),), keys=("origin",), time_column="at")
    with pytest.raises(Unavailable, match=r"part\.parquet"):
        run(broken, MemoryStore(), Book())


@pytest.mark.parametrize("before", [0, 1, 3, 4])
def test_rows_before_one_that_cannot_be_read_are_written(before: int) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        for number in range(before):
            yield row(f"o{number}", 1.0)
        raise InvalidRow("no JSON object", code="malformed_line")

    store, tally = MemoryStore(), Tally()
    reader = RowReader(WEATHER, FakeClock(), "at")
    with pytest.raises(InvalidRow):
        asyncio.run(write_rows(store, "weather", rows(), reader, tally, batch_rows=3))
    names = [f"o{number}" for number in range(before)]
    assert list(store.read_now("weather", names)) == names
    assert tally.rows == tally.kept == before
