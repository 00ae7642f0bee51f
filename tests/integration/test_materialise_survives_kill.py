"""A materialisation that is killed at any point and run again equals one that was not."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.features.materialise import CHUNK_ROWS

ROWS = 23_000  # five chunks, the last one short

CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from msgspec.structs import replace
from trimtab.config import Config, FeaturesConfig, StateConfig, StoreConfig, ViewConfig, ViewFeature
from trimtab.features.history import history_of
from trimtab.features.materialise import Ledger, materialise
from trimtab.features.stores.sqlite import SqliteStore
from trimtab.store.state import open_state
from trimtab.wiring.clock import SystemClock

folder, where, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
seen = {"before_write": 0, "after_write": 0, "after_save": 0}

def passing(point):
    seen[point] += 1
    if (point, seen[point]) == (where, at):
        os.kill(os.getpid(), signal.SIGKILL)

class Store(SqliteStore):
    async def write(self, view, rows):
        passing("before_write")
        kept = await super().write(view, rows)
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
store = Store(folder / "features.sqlite")
written = asyncio.run(materialise(source, view, store, Ledger(load, save), SystemClock()))
print(written.rows)
"""


def run(folder: Path, where: str = "nowhere", at: int = 0) -> tuple[int, int]:
    """The status of one run, and how many rows it read."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), where, str(at)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, int(done.stdout or 0)


def stored(folder: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "features.sqlite") as connection:
        return connection.execute("SELECT * FROM features ORDER BY view, entity").fetchall()


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
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    folder = prepare(tmp_path_factory.mktemp("clean"))
    assert run(folder) == (0, ROWS)
    rows = stored(folder)
    assert len(rows) == 997
    return rows


@pytest.mark.parametrize(
    ("where", "at", "left"),
    [
        ("before_write", 1, ROWS),
        ("before_write", 3, ROWS - 2 * CHUNK_ROWS),
        ("after_write", 2, ROWS - CHUNK_ROWS),
        ("after_save", 4, ROWS - ROWS // 2 - CHUNK_ROWS),
    ],
)
def test_killed_and_run_again_equals_one_clean_run(
    tmp_path: Path, clean: list[tuple[object, ...]], where: str, at: int, left: int
) -> None:
    folder = prepare(tmp_path / "killed")
    assert run(folder, where, at)[0] == -signal.SIGKILL
    assert run(folder) == (0, left)
    assert stored(folder) == clean
    assert run(folder) == (0, 0)
