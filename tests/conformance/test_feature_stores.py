from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.config import StoreConfig
from trimtab.features.stores import memory, parquet, redis, sqlite
from trimtab.features.threads import DaemonPool, ThreadedStore
from trimtab.protocols import FeatureStore
from trimtab.testing import FakeClock, check_feature_store
from trimtab.types import StoredRow


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    program = shutil.which("redis-server")
    assert program is not None, "redis-server is needed: apt-get install redis-server"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "eady to accept connections" in line:
                break
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


@pytest.mark.anyio
async def test_memory_keeps_the_laws(tmp_path: Path) -> None:
    config = StoreConfig(kind="memory")
    await check_feature_store(lambda: memory.create(config, tmp_path, FakeClock()))


@pytest.mark.anyio
async def test_sqlite_keeps_the_laws(tmp_path: Path) -> None:
    config = StoreConfig(kind="sqlite")
    await check_feature_store(lambda: sqlite.create(config, tmp_path, FakeClock()))


@pytest.mark.anyio
async def test_redis_keeps_the_laws(redis_url: str, tmp_path: Path) -> None:
    config = StoreConfig(kind="redis", url=redis_url)
    await check_feature_store(lambda: redis.create(config, tmp_path, FakeClock()))


@pytest.mark.anyio
async def test_parquet_keeps_the_laws_of_reading(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()

    async def seed(store: FeatureStore, view: str, rows: Mapping[str, StoredRow]) -> None:
        lines = [{"entity": e, "event_time": r.event_time, **r.values} for e, r in rows.items()]
        path = tmp_path / "features" / f"{quote(view, safe=' ')}.parquet"
        pq.write_table(pa.Table.from_pylist(lines), path)
        assert isinstance(store, parquet.ParquetStore)
        await store.refresh(view)

    config = StoreConfig(kind="parquet")
    await check_feature_store(lambda: parquet.create(config, tmp_path, FakeClock()), seed)


class SynchronousStore:
    """What a user may bring who has never heard of ``async``."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], StoredRow] = {}

    def read(self, view: str, entities: list[str]) -> dict[str, StoredRow]:
        return {e: self.rows[view, e] for e in entities if (view, e) in self.rows}

    def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        kept = 0
        for entity, row in rows.items():
            held = self.rows.get((view, entity), row)
            if held.event_time <= row.event_time:
                self.rows[view, entity] = row
                kept += 1
        return kept

    def ping(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.anyio
async def test_a_synchronous_store_keeps_the_laws_in_threads() -> None:
    pool = DaemonPool("synchronous", lambda _: None, threads=1)
    await check_feature_store(lambda: ThreadedStore(SynchronousStore(), pool))


class ForgetfulStore(memory.MemoryStore):
    """Lets an older event win."""

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        self._rows.update({(view, entity): row for entity, row in rows.items()})
        return len(rows)


@pytest.mark.anyio
async def test_the_suite_sees_a_broken_law() -> None:
    with pytest.raises(AssertionError, match="an older event is ignored"):
        await check_feature_store(ForgetfulStore)
