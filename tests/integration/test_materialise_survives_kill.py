"""A materialisation that is killed at any point and run again equals one that was not, on every store."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conformance.store.conftest import new_database, postgresql

from trimtab.config import StoreConfig
from trimtab.features.materialise import CHUNK_ROWS
from trimtab.plugins import by_path
from trimtab.testing import FakeClock
from trimtab.types import StoredRow

__all__ = ["postgresql"]

ROWS = 23_000  # five chunks, the last one short
ENTITIES = [f"o{number}" for number in range(997)]

Target = tuple[str, str]
"""A kind of store, and its URL."""

CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from msgspec.structs import replace
from trimtab.config import Config, FeaturesConfig, StateConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.features.history import history_of
from trimtab.features.materialise import Ledger, materialise
from trimtab.store.state import open_state
from trimtab.wiring.clock import SystemClock
from trimtab.plugins import by_path

folder, where, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
kind, url = sys.argv[4:]
seen = {"before_write": 0, "after_write": 0, "after_save": 0}

def passing(point):
    seen[point] += 1
    if (point, seen[point]) == (where, at):
        os.kill(os.getpid(), signal.SIGKILL)

class Store:
    def __init__(self, store):
        self.store = store

    async def write(self, view, rows):
        passing("before_write")
        kept = await self.store.write(view, rows)
        passing("after_write")
        return kept

view = ViewConfig(
    entity="origin", realtime="online", features=(ViewFeature(name="wind"),),
    history=str(folder / "history" / "*.parquet"),
)
state = open_state(f"sqlite:///{folder / 'state.db'}")

def load():
    with state.reading() as tx:
        return dict(tx.features.progress("weather"))

def save(reached):
    with state.transaction() as tx:
        tx.features.save_progress("weather", reached)
    passing("after_save")

source = history_of(FeaturesConfig(views={"weather": view}), "weather", folder)
create = by_path(f"trimtab.features.stores.{kind}:create")
store = Store(create(StoreConfig(kind=kind, url=url), folder, SystemClock()))
written = asyncio.run(materialise(source, view, store, Ledger(load, save), SystemClock()))
print(written.rows)
"""


def run(folder: Path, target: Target, where: str = "nowhere", at: int = 0) -> tuple[int, int]:
    """The status of one run, and how many rows it read."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), where, str(at), *target],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, int(done.stdout or 0)


def stored(folder: Path, target: Target) -> Mapping[str, StoredRow]:
    """All that stands in the store."""

    async def read() -> Mapping[str, StoredRow]:
        create = by_path(f"trimtab.features.stores.{target[0]}:create")
        store = create(StoreConfig(kind=target[0], url=target[1]), folder, FakeClock())
        found: Mapping[str, StoredRow] = await store.read("weather", ENTITIES)
        await store.close()
        return dict(found)

    return asyncio.run(read())


def prepare(folder: Path) -> Path:
    """Two files with shuffled event times of 997 entities, ties among them."""
    (folder / "history").mkdir(parents=True)
    half = ROWS // 2
    for number, start in enumerate((0, half)):
        events = range(start, start + half)
        table = pa.table(
            {
                "origin": [f"o{event * 7 % 997}" for event in events],
                "event_time": [float(event * 7919 % 5_003) for event in events],
                "wind": [float(event) for event in events],
            }
        )
        pq.write_table(table, folder / "history" / f"{number}.parquet", row_group_size=4_000)
    return folder


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    """A Redis of our own; its URL up to the database's number."""
    program = shutil.which("redis-server")
    assert program is not None, "redis-server is needed: apt-get install redis-server"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if "eady to accept connections" in line:
                break
        yield f"redis://127.0.0.1:{port}/"
        server.terminate()


@pytest.fixture(scope="module")
def targets(
    redis: str, postgresql: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Target]:
    """A store of a kind that nobody has written to."""
    numbers = count()

    def fresh(kind: str) -> Target:
        if kind == "redis":
            return kind, f"{redis}{next(numbers)}"
        if kind == "postgres":
            return kind, new_database(postgresql).replace("postgresql+psycopg://", "postgresql://")
        return kind, str(tmp_path_factory.mktemp("sqlite") / "features.sqlite")

    return fresh


@pytest.fixture(scope="module")
def clean(
    targets: Callable[[str], Target], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, StoredRow]:
    folder, target = prepare(tmp_path_factory.mktemp("clean")), targets("sqlite")
    assert run(folder, target) == (0, ROWS)
    rows = stored(folder, target)
    assert len(rows) == len(ENTITIES)
    return rows


@pytest.mark.parametrize(
    ("kind", "where", "at", "left"),
    [
        ("sqlite", "before_write", 1, ROWS),
        ("sqlite", "before_write", 3, ROWS - 2 * CHUNK_ROWS),
        ("sqlite", "after_write", 2, ROWS - CHUNK_ROWS),
        ("sqlite", "after_save", 4, ROWS - ROWS // 2 - CHUNK_ROWS),
        ("redis", "before_write", 3, ROWS - 2 * CHUNK_ROWS),
        ("redis", "after_write", 2, ROWS - CHUNK_ROWS),
        ("postgres", "before_write", 3, ROWS - 2 * CHUNK_ROWS),
        ("postgres", "after_write", 2, ROWS - CHUNK_ROWS),
    ],
)
def test_killed_and_run_again_equals_one_clean_run(
    tmp_path: Path,
    clean: Mapping[str, StoredRow],
    targets: Callable[[str], Target],
    kind: str,
    where: str,
    at: int,
    left: int,
) -> None:
    folder, target = prepare(tmp_path / "killed"), targets(kind)
    assert run(folder, target, where, at)[0] == -signal.SIGKILL
    assert run(folder, target) == (0, left)
    assert clean == stored(folder, target)
    assert run(folder, target) == (0, 0)
