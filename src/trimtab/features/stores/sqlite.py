"""Features in one SQLite file: the online store that needs no server.

Reads run on the event loop: a point read takes a few microseconds, a small part of a switch to a
thread and back. They cannot wait for a lock: the file is in WAL mode, where readers never wait for
writers, and the busy time-out of the read-only connection is zero, so whatever lock there may be is
an error at once. Writes wait for their turn in a thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from trimtab.config import StoreConfig
from trimtab.features.stores.embedded import explained, file_of, read_in_pieces
from trimtab.features.stores.packed import pack, unpack_all
from trimtab.protocols import Clock
from trimtab.types import StoredRow

_SCHEMA = """
CREATE TABLE IF NOT EXISTS features (
    view TEXT NOT NULL,
    entity TEXT NOT NULL,
    event_time REAL NOT NULL,
    row BLOB NOT NULL,
    PRIMARY KEY (view, entity)
) WITHOUT ROWID
"""
_READ = "SELECT row FROM features WHERE view = ? AND entity = ?"
_WRITE = """
INSERT INTO features (view, entity, event_time, row) VALUES (?, ?, ?, ?)
ON CONFLICT (view, entity) DO UPDATE SET event_time = excluded.event_time, row = excluded.row
WHERE excluded.event_time >= features.event_time
"""

_CHUNK = 64
_WRITE_TIMEOUT_SECONDS = 10.0


def create(config: StoreConfig, state_dir: Path, clock: Clock) -> SqliteStore:  # noqa: ARG001 - every store's form
    """The store in the file ``url``, or in ``features.sqlite`` of the state directory."""
    return SqliteStore(file_of(config, state_dir, "features.sqlite"))


class SqliteStore:
    """Rows in the table ``features``, shared by all processes of this machine.

    Args:
        path: The file; it and its folder are created.

    Raises:
        Unavailable: the file cannot be opened, or is no SQLite database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._explained = partial(explained, path, "a SQLite", sqlite3.Error)
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._writer()) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(_SCHEMA)
            self._reader = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0, isolation_level=None
            )

    def read_now(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that exist, in order; it never waits for a lock."""
        execute = self._reader.execute
        with self._explained():
            found = [execute(_READ, (view, entity)).fetchone() for entity in entities]
        return unpack_all(entities, [packed[0] if packed else None for packed in found])

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that exist, in order; lets others run between many."""
        return await read_in_pieces(self.read_now, view, entities, _CHUNK)

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Keep rows unless a newer event is there already, all in one transaction."""
        return await asyncio.to_thread(self._write, view, dict(rows))

    async def ping(self) -> None:
        """Return if the file can be read.

        Raises:
            Unavailable: it cannot.
        """
        with self._explained():
            self._reader.execute("SELECT 1 FROM features LIMIT 1").fetchone()

    async def close(self) -> None:
        """Release the file; idempotent."""
        self._reader.close()

    def _write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        with self._explained(), closing(self._writer()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                _WRITE,
                ((view, entity, row.event_time, pack(row)) for entity, row in rows.items()),
            )
            connection.execute("COMMIT")
            return connection.total_changes

    def _writer(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_WRITE_TIMEOUT_SECONDS, isolation_level=None
        )
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection
