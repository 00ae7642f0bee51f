"""A raised epoch is told by PostgreSQL, also after the connection that listened was lost."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import psycopg
import pytest

from trimtab.protocols import StateStore
from trimtab.store.state import open_state

SOON_SECONDS = 20.0


class Told:
    """Takes the calls of a listener."""

    def __init__(self, store: StateStore) -> None:
        self._calls: queue.Queue[None] = queue.Queue()
        self.stop = store.listen(lambda: self._calls.put(None))

    def wait(self) -> None:
        self._calls.get(timeout=SOON_SECONDS)

    @property
    def silent(self) -> bool:
        return self._calls.empty()


@pytest.fixture
def database(postgresql: str) -> Iterator[str]:
    with psycopg.connect(postgresql + "postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE push")
        yield postgresql + "push"
        connection.execute("DROP DATABASE push WITH (FORCE)")


@pytest.fixture
def writer(database: str) -> Iterator[StateStore]:
    store = open_state(database)
    yield store
    store.close()


@pytest.fixture
def told(writer: StateStore) -> Iterator[Told]:
    """Listening: the call that each new connection makes has been taken."""
    told = Told(writer)
    told.wait()
    yield told
    told.stop()


def raise_epoch(store: StateStore) -> None:
    with store.transaction() as tx:
        tx.control.advance(tx.control.epoch())


def test_a_raised_epoch_is_told_once_it_is_committed(writer: StateStore, told: Told) -> None:
    with writer.transaction() as tx:
        tx.control.advance(tx.control.epoch())
        assert told.silent
    told.wait()


def test_what_is_rolled_back_is_not_told(writer: StateStore, told: Told) -> None:
    def give_up() -> None:
        with writer.transaction() as tx:
            tx.control.advance(tx.control.epoch())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        give_up()
    raise_epoch(writer)
    told.wait()
    assert told.silent


def test_a_lost_connection_is_made_again_and_counts_as_a_change(
    database: str, writer: StateStore, told: Told
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'trimtab push'"
        ).fetchall()
    assert [(True,)] == ended
    told.wait()
    raise_epoch(writer)
    told.wait()


def test_sqlite_tells_nobody(tmp_path: object) -> None:
    store = open_state(f"sqlite:///{tmp_path}/state.db")
    told = Told(store)
    raise_epoch(store)
    assert told.silent
    told.stop()
    store.close()
