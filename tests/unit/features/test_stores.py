from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.config import StoreConfig
from trimtab.errors import InvalidConfig, Refused, Unavailable
from trimtab.features.stores import lmdb, parquet, redis, sqlite
from trimtab.features.stores.packed import pack, unpack
from trimtab.testing import FakeClock
from trimtab.types import Scalar, StoredRow

ROW = StoredRow(values={"wind": 4.5}, event_time=100.0)


def stored(**values: Scalar) -> StoredRow:
    return StoredRow(values=values, event_time=100.0)


def test_a_packed_row_leads_with_its_event_time() -> None:
    assert unpack(pack(ROW)) == ROW
    early, late = (pack(StoredRow(values={}, event_time=t)) for t in (1.0, 2.0))
    assert early < late


@pytest.mark.parametrize(
    "junk", [b"", b"short", pack(ROW)[:-1], pack(ROW) + b"x", b"\x00" * 8 + b"\x93abc", 3, None]
)
def test_what_is_no_packed_row_is_no_row(junk: bytes) -> None:
    assert unpack(junk) is None


@pytest.mark.anyio
async def test_sqlite_rows_outlive_the_store_and_are_seen_by_others(tmp_path: Path) -> None:
    config = StoreConfig(kind="sqlite", url=str(tmp_path / "a folder" / "f?#.sqlite"))
    first, second = (sqlite.create(config, tmp_path, FakeClock()) for _ in range(2))
    await first.write("weather", {"JFK": ROW})
    assert await second.read("weather", ["JFK"]) == {"JFK": ROW}
    await first.close()
    await second.close()
    third = sqlite.create(config, tmp_path, FakeClock())
    assert await third.read("weather", ["JFK"]) == {"JFK": ROW}
    await third.close()


@pytest.mark.anyio
async def test_sqlite_reads_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    store = sqlite.SqliteStore(tmp_path / "f.sqlite")
    await store.write("weather", {"JFK": ROW})
    with closing(sqlite3.connect(tmp_path / "f.sqlite", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM features")
        assert await store.read("weather", ["JFK"]) == {"JFK": ROW}
        writer.execute("COMMIT")
    assert await store.read("weather", ["JFK"]) == {}
    await store.close()


@pytest.mark.anyio
async def test_sqlite_says_at_once_that_the_file_is_locked(tmp_path: Path) -> None:
    store = sqlite.SqliteStore(tmp_path / "f.sqlite")
    await store.close()
    with closing(sqlite3.connect(tmp_path / "f.sqlite", isolation_level=None)) as owner:
        owner.execute("PRAGMA journal_mode = DELETE")
        late = sqlite3.connect(tmp_path / "f.sqlite", timeout=0, isolation_level=None)
        store._reader = late
        owner.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match="locked"):
            await store.read("weather", ["JFK"])
    await store.close()


@pytest.mark.anyio
async def test_sqlite_omits_a_row_that_is_garbled(tmp_path: Path) -> None:
    store = sqlite.SqliteStore(tmp_path / "f.sqlite")
    await store.write("weather", {"JFK": ROW, "LGA": ROW})
    with closing(sqlite3.connect(tmp_path / "f.sqlite")) as other, other:
        other.execute("UPDATE features SET row = x'00' WHERE entity = 'JFK'")
    assert await store.read("weather", ["JFK", "LGA"]) == {"LGA": ROW}
    await store.close()


@pytest.mark.parametrize("kind", [sqlite, lmdb])
def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, kind: ModuleType) -> None:
    (tmp_path / "file").touch()
    config = StoreConfig(kind="embedded", url=str(tmp_path / "file" / "f.rows"))
    with pytest.raises(Unavailable, match=r"f\.rows") as caught:
        kind.create(config, tmp_path, FakeClock())
    assert "store_unavailable" == caught.value.code


def test_sqlite_refuses_what_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "f.sqlite"
    path.write_text("This is a letter, not a database. " * 100)
    with pytest.raises(Unavailable) as caught:
        sqlite.SqliteStore(path)
    assert caught.value.code == "store_unavailable"


def replace(folder: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Write a new file and move it over the old one, as its hint says."""
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(dict(columns)), folder / "new")
    (folder / "new").replace(folder / "weather.parquet")


def snapshot(
    folder: Path, clock: FakeClock | None = None, **options: Scalar
) -> parquet.ParquetStore:
    config = StoreConfig(kind="parquet", url=str(folder), options=options)
    return parquet.create(config, folder, clock or FakeClock())


@pytest.mark.anyio
async def test_parquet_files_are_served_from_the_start(tmp_path: Path) -> None:
    replace(tmp_path, {"entity": ["JFK"], "event_time": [100.0], "wind": [4.5]})
    store = snapshot(tmp_path)
    assert await store.read("weather", ["LGA", "JFK"]) == {"JFK": ROW}
    await store.ping()
    await store.close()


@pytest.mark.anyio
async def test_a_new_parquet_file_is_noticed_after_the_stated_time(tmp_path: Path) -> None:
    clock = FakeClock()
    replace(tmp_path, {"entity": ["JFK"], "event_time": [100.0], "wind": [4.5]})
    store = snapshot(tmp_path, clock, check_seconds=5.0)
    await store.read("weather", ["JFK"])
    await asyncio.wrap_future(store._pool.submit(lambda: None))  # the look that this read began
    replace(tmp_path, {"entity": ["JFK"], "event_time": [100.0], "wind": [9.0]})
    clock.advance(4.9)
    assert await store.read("weather", ["JFK"]) == {"JFK": ROW}
    clock.advance(0.2)
    await store.read("weather", ["JFK"])
    await asyncio.wrap_future(store._pool.submit(lambda: None))
    assert await store.read("weather", ["JFK"]) == {"JFK": stored(wind=9.0)}
    await store.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"PAR1 garbled"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: pq.write_table(pa.table({"airport": ["JFK"], "wind": [1.0]}), path),
        lambda path: pq.write_table(pa.table({"entity": ["JFK"], "event_time": ["noon"]}), path),
        lambda path: path.unlink(),
    ],
    ids=["garbled", "empty", "torn", "no entity", "no time", "gone"],
)
async def test_a_parquet_file_that_cannot_be_read_keeps_the_last_rows(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    replace(tmp_path, {"entity": ["JFK"], "event_time": [100.0], "wind": [4.5]})
    store = snapshot(tmp_path)
    assert callable(damage)
    damage(tmp_path / "weather.parquet")
    await store.refresh("weather")
    await store.refresh("weather")
    assert await store.read("weather", ["JFK"]) == {"JFK": ROW}
    with pytest.raises(Unavailable, match=r"weather\.parquet"):
        await store.ping()
    assert [record.message for record in caplog.records] == ["store_failed"]
    replace(tmp_path, {"entity": ["JFK"], "event_time": [100.0], "wind": [9.0]})
    await store.refresh("weather")
    assert await store.read("weather", ["JFK"]) == {"JFK": stored(wind=9.0)}
    await store.ping()
    await store.close()


@pytest.mark.anyio
async def test_parquet_takes_the_newest_row_and_keys_and_times_of_many_types(
    tmp_path: Path,
) -> None:
    times = pa.array([3_000, 1_000, None, 2_000], pa.timestamp("ms"))
    replace(
        tmp_path,
        {
            "airport": pa.array([7, 7, 8, None]),
            "at": times,
            "wind": pa.array([4.5, None, 1.0, 2.0], pa.float32()),
            "sky": pa.array(["clear", "grey", None, "grey"]).dictionary_encode(),
        },
    )
    os.utime(tmp_path / "weather.parquet", (50.0, 50.0))
    store = snapshot(tmp_path, entity_column="airport", event_time_column="at")
    assert await store.read("weather", ["7", "8", "None"]) == {
        "7": StoredRow(values={"wind": 4.5, "sky": "clear"}, event_time=3.0),
        "8": StoredRow(values={"wind": 1.0, "sky": None}, event_time=50.0),
    }
    await store.close()


@pytest.mark.anyio
async def test_parquet_refuses_to_be_written(tmp_path: Path) -> None:
    store = snapshot(tmp_path)
    with pytest.raises(Refused) as caught:
        await store.write("weather", {"JFK": ROW})
    assert caught.value.code == "store_read_only"
    await store.close()


@pytest.mark.anyio
async def test_parquet_without_a_folder_has_no_rows_and_says_so(tmp_path: Path) -> None:
    store = snapshot(tmp_path / "nowhere")
    assert await store.read("weather", ["JFK"]) == {}
    with pytest.raises(Unavailable):
        await store.ping()
    await store.close()


@pytest.mark.parametrize("url", ["", "http://localhost", "localhost:6379"])
def test_redis_refuses_a_url_that_is_none(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="redis"):
        redis.create(StoreConfig(kind="redis", url=url), tmp_path, FakeClock())


@pytest.mark.parametrize(
    ("options", "path"), [({"pool": 3}, None), ({"connections": 0}, "connections")]
)
def test_redis_refuses_an_option_that_it_does_not_have(
    options: dict[str, Scalar], path: str | None, tmp_path: Path
) -> None:
    config = StoreConfig(kind="redis", url="redis://localhost", options=options)
    with pytest.raises(InvalidConfig) as caught:
        redis.create(config, tmp_path, FakeClock())
    assert caught.value.path == path
