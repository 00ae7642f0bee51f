"""What only SQLite does, and how a database that does not work is reported."""

from __future__ import annotations

import re
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, func, select
from sqlalchemy.dialects import sqlite

from trimtab.errors import InvalidConfig, Unavailable
from trimtab.store.engine import begun, open_engine
from trimtab.store.state import open_state
from trimtab.store.tables import has_outcome, mature, predictions


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/state/state.db"


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:"]
)
def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        open_state(url)
    assert "state.url" == refused.value.path


def test_a_folder_in_the_place_of_the_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as failed:
        open_state(f"sqlite:///{tmp_path}")
    assert "state_unavailable" == failed.value.code


def test_a_file_in_the_place_of_the_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(Unavailable) as failed:
        open_state(url_of(tmp_path))
    assert "state_unavailable" == failed.value.code


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    file.write_bytes(b"not a database" * 1_000)
    with pytest.raises(Unavailable, match="not a database"):
        open_state(f"sqlite:///{file}")


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(Unavailable) as failed:
            open_state(f"postgresql://ada:hunter2@127.0.0.1:{port}/state")
    assert f"127.0.0.1:{port}" in str(failed.value)
    assert "hunter2" not in str(failed.value)


def test_commits_are_synced_and_readers_do_not_wait(tmp_path: Path) -> None:
    open_state(url_of(tmp_path)).close()
    engine = open_engine(url_of(tmp_path))
    with begun(engine, writing=True) as connection:

        def pragma(name: str) -> object:
            return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

        assert ("wal", 2, 1) == (
            pragma("journal_mode"),
            pragma("synchronous"),
            pragma("foreign_keys"),
        )
        assert pragma("cache_size") == -8_192, "what grows with the tables is 8 MB at most"
    engine.dispose()


def test_a_full_disk_keeps_what_was_committed(tmp_path: Path) -> None:
    program = """
import resource, sys
from trimtab.errors import Unavailable
from trimtab.store.state import open_state
store = open_state(sys.argv[1])
with store.transaction() as tx:
    tx.save_setting("kept", "yes")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    with store.transaction() as tx:
        tx.save_setting("kept", "no")
        tx.watch.save_blob("large", bytes(5_000_000))
except Unavailable as full:
    print(full.code)
with store.reading() as tx:
    print(tx.setting("kept"), tx.watch.blob("large"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, url_of(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ["state_unavailable", "yes None"] == done.stdout.splitlines()


def test_what_is_asked_each_tick_is_answered_from_an_index(tmp_path: Path) -> None:
    open_state(url_of(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "state/state.db")) as connection:

        def plan(statement: Select[Any]) -> str:
            inline = {"literal_binds": True}
            text = statement.compile(dialect=sqlite.dialect(), compile_kwargs=inline)
            return str(connection.execute(f"EXPLAIN QUERY PLAN {text}").fetchall())

        c = predictions.c
        taking = select(c.id).where(mature).order_by(c.seq, c.id).limit(9)
        counting = select(c.version).where(mature, c.taken_value.is_(None)).order_by(c.seq)
        numbering = select(func.max(c.seq)).where(has_outcome)
        used = [
            re.findall(r"ix_\w+|TEMP B-TREE", plan(asked))
            for asked in (taking, counting, numbering)
        ]
    assert [["ix_predictions_mature"], ["ix_predictions_mature"], ["ix_predictions_seq"]] == used
