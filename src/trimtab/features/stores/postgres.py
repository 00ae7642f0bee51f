"""Features in PostgreSQL: for those who run one already and want no other server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import conninfo

from trimtab.config import Count, Positive, Section, StoreConfig, convert, secret
from trimtab.errors import InvalidConfig, Unavailable
from trimtab.features.flight import Asked, Rows, share
from trimtab.features.stores.packed import pack, unpack_all
from trimtab.features.threads import DaemonPool, ThreadedStore
from trimtab.protocols import Clock
from trimtab.types import StoredRow

_SCHEMA = """
CREATE TABLE IF NOT EXISTS trimtab_features (
    view TEXT NOT NULL,
    entity TEXT NOT NULL,
    event_time DOUBLE PRECISION NOT NULL,
    row BYTEA NOT NULL,
    PRIMARY KEY (view, entity)
)
"""
# Two who make a table at the same moment both find it missing, in spite of IF NOT EXISTS.
_ALONE = "SELECT pg_advisory_xact_lock(hashtext('trimtab_features'))"
_READ = """
SELECT part, entity, row
FROM unnest(%s::int[], %s::text[], %s::text[]) AS asked (part, view, entity)
JOIN trimtab_features USING (view, entity)
"""
_WRITE = """
INSERT INTO trimtab_features (view, entity, event_time, row)
SELECT %s, * FROM unnest(%s::text[], %s::double precision[], %s::bytea[])
ON CONFLICT (view, entity) DO UPDATE SET event_time = excluded.event_time, row = excluded.row
WHERE excluded.event_time >= trimtab_features.event_time
"""
_CHUNK = 1_000


class PostgresOptions(Section, frozen=True):
    """What ``[features.stores.<name>.options]`` may say.

    At most ``connections`` threads each hold a connection. ``timeout_ms`` bounds connecting and each
    statement, so that a thread whose caller has gone comes back.
    """

    connections: Count = 16
    timeout_ms: Positive = 2_000.0


def create(config: StoreConfig, state_dir: Path, clock: Clock) -> ThreadedPostgres:  # noqa: ARG001 - every store's form
    """The store in the database ``url``: ``postgresql://…``, or ``env:NAME`` or ``file:PATH`` of one.

    Raises:
        InvalidConfig: the URL or an option cannot be used.
    """
    options = convert(config.options, PostgresOptions)
    url = secret(config.url) if config.url.startswith(("env:", "file:")) else config.url
    pool = DaemonPool("postgres", lambda _: None, threads=options.connections)
    return ThreadedPostgres(PostgresStore(url, options.timeout_ms / 1e3), pool)


class ThreadedPostgres(ThreadedStore):
    """The store in threads, which asks for what several views want in one statement."""

    def begin_many(self, asked: Sequence[Asked]) -> Sequence[asyncio.Future[Rows]]:
        """Start reads of several views, in one round trip."""
        return share(self._call(self._store.read_many, asked), len(asked))


class PostgresStore:
    """Rows in the table ``trimtab_features``; synchronous, one connection a thread.

    Args:
        url: ``postgresql://user@host/database``.
        seconds: How long connecting and a statement may take.

    Raises:
        InvalidConfig: the URL cannot be used.
    """

    def __init__(self, url: str, seconds: float) -> None:
        try:
            conninfo.conninfo_to_dict(url)
        except psycopg.Error as wrong:
            raise InvalidConfig(
                f"A postgres store cannot use its URL: {wrong}.".replace(url, "…"),
                path="features.stores",
                hint="Write it as postgresql://user@host/database.",
            ) from wrong
        milliseconds = round(seconds * 1e3)
        self._settings = {
            "connect_timeout": str(max(2, round(seconds))),
            "tcp_user_timeout": str(milliseconds),
            "options": f"-c statement_timeout={milliseconds} -c synchronous_commit=off",
            "application_name": "trimtab-features",
        }
        self._url = url
        self._local = threading.local()
        self._lock = threading.Lock()
        self._made = self._closed = False
        self._open: set[psycopg.Connection] = set()

    def read(self, view: str, entities: Sequence[str]) -> Rows:
        """The rows of those entities that exist, in order, in one round trip.

        Raises:
            Unavailable: the server cannot be reached or refuses.
        """
        return self.read_many([(view, entities)])[0]

    def read_many(self, asked: Sequence[Asked]) -> Sequence[Rows]:
        """The rows of several views, in one round trip.

        Raises:
            Unavailable: the server cannot be reached or refuses.
        """
        wanted = [
            (part, view, entity)
            for part, (view, entities) in enumerate(asked)
            for entity in entities
            if "\0" not in view + entity
        ]
        if not wanted:
            return [{} for _ in asked]
        with self._connection() as connection:
            columns = [list(column) for column in zip(*wanted, strict=True)]
            answer = connection.execute(_READ, columns, binary=True).fetchall()
        found = {(part, entity): blob for part, entity, blob in answer}
        return [
            unpack_all(entities, [found.get((part, entity)) for entity in entities])
            for part, (_, entities) in enumerate(asked)
        ]

    def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Keep rows unless a newer event is there already; how many were kept.

        Raises:
            Unavailable: the server cannot be reached or refuses; earlier chunks are kept then.
        """
        # In one order for all writers, so that none waits for another in a circle.
        names = sorted(rows)
        kept = 0
        with self._connection() as connection:
            for start in range(0, len(names), _CHUNK):
                chunk = names[start : start + _CHUNK]
                held = [rows[name] for name in chunk]
                times, blobs = [row.event_time for row in held], [pack(row) for row in held]
                kept += connection.execute(_WRITE, (view, chunk, times, blobs)).rowcount
        return kept

    def ping(self) -> None:
        """Return if the server answers.

        Raises:
            Unavailable: it does not.
        """
        with self._connection() as connection:
            connection.execute("SELECT 1").fetchone()

    def close(self) -> None:
        """Release the connections; idempotent. A call that is given up may still be connecting."""
        with self._lock:
            self._closed = True
            connections, self._open = self._open, set()
        for connection in connections:
            connection.close()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection]:
        """This thread's connection; one that failed is replaced at the next call."""
        try:
            connection = self._connected()
            try:
                yield connection
            except psycopg.OperationalError:
                self._forget(connection)
                raise
        except psycopg.Error as wrong:
            raise Unavailable(
                f"The feature store in PostgreSQL does not work: {_said(wrong)}.",
                code="store_unavailable",
                hint="Is the server up, and may this user create the table trimtab_features?",
            ) from wrong

    def _connected(self) -> psycopg.Connection:
        connection: psycopg.Connection | None = getattr(self._local, "connection", None)
        if connection is not None and not connection.closed:
            return connection
        connection = psycopg.connect(self._url, autocommit=True, **self._settings)  # type: ignore[arg-type]  # libpq takes text
        connection.prepare_threshold = 0
        self._local.connection = connection
        with self._lock:
            if self._closed:
                connection.close()
                raise psycopg.OperationalError("the store was closed")
            self._open.add(connection)
            if not self._made:
                with connection.transaction():
                    connection.execute(_ALONE)
                    connection.execute(_SCHEMA)
                self._made = True
        return connection

    def _forget(self, connection: psycopg.Connection) -> None:
        connection.close()
        with self._lock:
            self._open.discard(connection)


def _said(wrong: psycopg.Error) -> str:
    """The first line of what went wrong; libpq asks questions in the others."""
    return (str(wrong).strip() or type(wrong).__name__).splitlines()[0].rstrip(".")
