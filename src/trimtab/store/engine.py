"""Opens a database, and says in our own errors what goes wrong with it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import make_url

from trimtab.errors import Conflict, InvalidConfig, InvalidRequest, Unavailable

WAIT_SECONDS = 30.0
"""How long a transaction waits for another one."""

CONNECT_SECONDS = 10

_PRAGMAS = (
    "synchronous=FULL",  # a rollback that was acknowledged outlives a power cut
    "foreign_keys=ON",
    "temp_store=MEMORY",
    "cache_size=-8192",
    "journal_size_limit=67108864",
)


def open_engine(url: str, wait_seconds: float = WAIT_SECONDS) -> Engine:
    """A pool of connections; nothing is connected yet.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user:password@host/database``.
        wait_seconds: How long a transaction waits for another one.

    Raises:
        InvalidConfig: neither of the two, or the driver is not installed.
    """
    try:
        parsed = make_url(url)
    except exc.ArgumentError as wrong:
        raise _unusable() from wrong
    backend = parsed.drivername.partition("+")[0]
    if backend == "sqlite":
        return _sqlite(parsed, wait_seconds)
    if backend in ("postgresql", "postgres"):
        return _postgresql(parsed, wait_seconds)
    raise _unusable()


def _unusable() -> InvalidConfig:
    return InvalidConfig(
        "The state URL names neither SQLite nor PostgreSQL.",
        hint="Write sqlite:///path/state.db or postgresql://user:password@host/database.",
        path="state.url",
    )


def _sqlite(url: URL, wait_seconds: float) -> Engine:
    if not url.database or url.database == ":memory:":
        raise InvalidConfig(
            "State in SQLite needs a file.", hint="Write sqlite:///path/state.db.", path="state.url"
        )
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as refused:
        raise Unavailable(
            f"The folder {str(path.parent)!r} cannot be made: {refused.strerror}.",
            hint="Check [state] dir and its permissions.",
            code="state_unavailable",
        ) from refused
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=url.database),
        connect_args={"timeout": wait_seconds},
    )
    event.listen(engine, "connect", lambda connection, _: _prepare(connection, wait_seconds))
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, wait_seconds: float) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: ``_begin`` does
    _log_ahead(connection, time.monotonic() + wait_seconds)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _log_ahead(connection: sqlite3.Connection, until: float) -> None:
    """Use a write-ahead log. SQLite waits for nobody here, so wait where it does: at BEGIN."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as failed:
            busy = failed.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > until:
                raise
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
        else:
            return


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if writing else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _postgresql(url: URL, wait_seconds: float) -> Engine:
    options = f"-c lock_timeout={wait_seconds * 1000:.0f} -c timezone=UTC"
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(2, min(CONNECT_SECONDS, ceil(wait_seconds))),
                "application_name": "trimtab",
                "options": options,
            },
        )
    except ModuleNotFoundError as missing:
        raise InvalidConfig(
            f"State in PostgreSQL needs the package {missing.name!r}.",
            hint="Install it: pip install 'trimtab[postgres]'.",
            path="state.url",
        ) from missing


@contextmanager
def begun(engine: Engine, *, writing: bool) -> Iterator[Connection]:
    """A transaction: commits on leaving, rolls back on an exception.

    Raises:
        Unavailable: the database cannot be reached, is locked, full, damaged or read-only.
        Conflict: another transaction stood in the way of this one.
        InvalidRequest: a value that the database cannot keep.
    """
    options: dict[str, object] = {"writing": writing}
    if engine.dialect.name == "postgresql":
        isolation = "READ COMMITTED" if writing else "REPEATABLE READ"
        options |= {"isolation_level": isolation, "postgresql_readonly": not writing}
    try:
        with engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection
    except (exc.DBAPIError, exc.TimeoutError, UnicodeEncodeError) as failed:
        raise translated(failed, engine.url) from failed


_RETRY = {"40001", "40P01"}
"""Serialisation failure and deadlock, as PostgreSQL numbers them."""


def translated(
    failed: exc.DBAPIError | exc.TimeoutError | UnicodeEncodeError, url: URL
) -> Exception:
    """What the database said, as an error of ours."""
    if isinstance(failed, exc.DataError | UnicodeEncodeError):
        return InvalidRequest(
            "A text or number cannot be kept in the state database.",
            hint="Leave out NUL characters and unpaired surrogates.",
            code="value_not_storable",
        )
    if isinstance(failed, exc.TimeoutError):
        return unavailable("all connections are in use", url)
    said = str(failed.orig).strip().partition("\n")[0]
    if isinstance(failed, exc.IntegrityError):
        return Conflict(
            f"The state forbids this change: {said}.",
            hint="Read the present state and decide again.",
        )
    if getattr(failed.orig, "sqlstate", None) in _RETRY:
        return Conflict(
            "Another change stood in the way of this one.",
            hint="Try again.",
            code="transaction_lost",
        )
    return unavailable(said, url)


def unavailable(said: str, url: URL) -> Unavailable:
    """A database that does not work, in its own words and with what to look at."""
    return Unavailable(
        f"The state database {url.render_as_string(hide_password=True)} does not work: {said}.",
        hint="Is it running, writable, not full, and not held by another program?",
        code="state_unavailable",
    )
