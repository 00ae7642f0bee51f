from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis

from trimtab.config import StoreConfig
from trimtab.features.stores import (
    callable_store,
    lmdb,
    memory,
    parquet,
    redis,
    sqlite,
)
from trimtab.features.threads import DaemonPool, ThreadedStore
from trimtab.protocols import FeatureStore
from trimtab.testing import FakeClock, check_feature_store
from trimtab.types import Scalar, StoredRow


def start_redis(*settings: str) -> tuple[subprocess.Popen[str], int]:
    program = shutil.which("redis-server")
    assert program is not None, "redis-server is needed: apt-get install redis-server"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen([program, *arguments, *settings], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    for line in server.stdout:
        if "eady to accept connections" in line:
            break
    return server, port


def stop(server: subprocess.Popen[str]) -> None:
    server.terminate()
    server.wait()
    assert server.stdout is not None
    server.stdout.close()


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    server, port = start_redis()
    yield f"redis://127.0.0.1:{port}/0"
    stop(server)


@pytest.fixture(scope="module")
def redis_cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three nodes with a third of the slots each."""
    folder = tmp_path_factory.mktemp("cluster")
    started = [
        start_redis(
            "--cluster-enabled", "yes", "--cluster-config-file", str(folder / f"{n}.conf"),
            "--cluster-port", str(free_port()), "--dir", str(folder),
        )
        for n in range(3)
    ]  # fmt: skip
    clients: list[Any] = [Redis(port=port) for _, port in started]
    for n, client in enumerate(clients):
        client.execute_command(
            "CLUSTER", "ADDSLOTSRANGE", 5_462 * n, min(5_462 * n + 5_461, 16_383)
        )
    for client, (_, port) in zip(clients[1:], started[1:], strict=True):
        bus = client.config_get("cluster-port")["cluster-port"]
        clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
    for client in clients:
        while client.cluster("info")["cluster_state"] != "ok":
            client.execute_command("CLUSTER", "INFO")
        client.close()
    yield f"redis://127.0.0.1:{started[0][1]}"
    for server, _ in started:
        stop(server)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


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


@pytest.mark.anyio
async def test_a_parquet_snapshot_is_swapped_whole_under_readers(tmp_path: Path) -> None:
    """Each read sees one file's rows, the versions never go back, and the last one is reached."""
    path, entities = tmp_path / "features" / "v.parquet", [f"e{at}" for at in range(300)]
    path.parent.mkdir()

    def replace(version: int) -> None:
        columns = {"entity": entities, "x": [version] * len(entities)}
        pq.write_table(pa.table(columns), path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    replace(0)
    config = StoreConfig(kind="parquet", options={"check_seconds": 0.0})
    store = parquet.create(config, tmp_path, FakeClock())
    seen: list[set[object]] = []
    for version in range(1, 6):
        swap = asyncio.ensure_future(asyncio.to_thread(replace, version))
        while not swap.done():
            rows = await store.read("v", entities)
            seen.append({row.values["x"] for row in rows.values()})
            assert len(entities) == len(rows)
            await asyncio.sleep(0)
        await store.refresh("v")
        seen.append({row.values["x"] for row in (await store.read("v", entities)).values()})
        assert {version} == seen[-1]
    await store.close()
    assert {1} == {len(versions) for versions in seen}
    order = [next(iter(versions)) for versions in seen]
    assert sorted(order, key=str) == order


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


@pytest.mark.anyio
async def test_lmdb_keeps_the_laws(tmp_path: Path) -> None:
    config = StoreConfig(kind="lmdb")
    store = lmdb.create(config, tmp_path, FakeClock())
    await check_feature_store(lambda: store)


@pytest.mark.anyio
async def test_a_redis_cluster_keeps_the_laws(redis_cluster_url: str, tmp_path: Path) -> None:
    config = StoreConfig(kind="redis", url=redis_cluster_url, options={"cluster": True})
    await check_feature_store(lambda: redis.create(config, tmp_path, FakeClock()))


ROWS: dict[tuple[str, str], StoredRow] = {}


async def ask(view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
    await asyncio.sleep(0)
    return {e: ROWS[view, e] for e in entities if (view, e) in ROWS}


def ask_plainly(view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
    return {e: ROWS[view, e] for e in entities if (view, e) in ROWS}


@pytest.mark.anyio
@pytest.mark.parametrize("function", [ask, ask_plainly], ids=["async", "plain"])
async def test_a_function_keeps_the_laws_of_reading(function: callable_store.Function) -> None:
    async def seed(store: FeatureStore, view: str, rows: Mapping[str, StoredRow]) -> None:
        del store
        ROWS.update({(view, entity): row for entity, row in rows.items()})

    await check_feature_store(lambda: callable_store.CallableStore(function, FakeClock()), seed)


@pytest.mark.anyio
async def test_a_function_may_answer_plain_values_which_are_as_old_as_the_read() -> None:
    async def plain(view: str, entities: Sequence[str]) -> Mapping[str, Mapping[str, Scalar]]:
        del view
        return {entity: {"x": 1.0} for entity in entities}

    store = callable_store.CallableStore(plain, FakeClock(now=5.0))
    assert await store.read("v", ["e"]) == {"e": StoredRow(values={"x": 1.0}, event_time=5.0)}
