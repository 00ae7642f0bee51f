"""The epoch is told without a transaction, and as it was committed last."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tests.conformance.store.conftest import new_database

from trimtab.errors import Unavailable
from trimtab.protocols import StateStore
from trimtab.store.state import open_state


@pytest.fixture
def other(url: str) -> Iterator[StateStore]:
    """Another process's store of the same state."""
    opened = open_state(url)
    yield opened
    opened.close()


def raise_epoch(store: StateStore) -> int:
    with store.transaction() as tx:
        return tx.control.advance(tx.control.epoch())


def test_each_look_tells_what_was_committed_last(store: StateStore, other: StateStore) -> None:
    seen = [store.epoch()]
    for _ in range(3):
        raise_epoch(other)
        seen.append(store.epoch())
    with other.transaction() as tx:
        tx.control.advance(tx.control.epoch())
        seen.append(store.epoch())
    seen.append(store.epoch())
    assert [0, 1, 2, 3, 3, 4] == seen


def test_a_lost_connection_is_made_anew(postgresql: str) -> None:
    url = new_database(postgresql)
    store = open_state(url)
    raise_epoch(store)
    assert 1 == store.epoch()
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trimtab'"
        ).fetchall()
    assert ended
    assert 1 == store.epoch()
    store.close()


def test_looking_keeps_no_log_from_being_taken_in(tmp_path: Path) -> None:
    store = open_state(f"sqlite:///{tmp_path}/state.db")
    raise_epoch(store)
    store.epoch()
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        assert (0, 0, 0) == connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    store.close()


def test_a_damaged_database_is_unavailable_until_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    store = open_state(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ALTER TABLE control RENAME TO elsewhere")
        for _ in range(2):
            with pytest.raises(Unavailable, match="no such table") as failed:
                store.epoch()
            assert "state_unavailable" == failed.value.code
        connection.execute("ALTER TABLE elsewhere RENAME TO control")
    assert 0 == store.epoch()
    store.close()
