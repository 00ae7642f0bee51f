"""What both databases can do but SQLAlchemy spells differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from zlib import crc32

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")
CHUNK = 5_000
"""Values in one IN list: below SQLite's 32,766 variables and PostgreSQL's 65,535."""


def insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; a row whose primary key exists is replaced."""
    if not rows:
        return
    statement = insert(connection, table)
    key = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    connection.execute(
        statement.on_conflict_do_update(index_elements=key, set_=changed), list(rows)
    )


def lock(connection: Connection, name: str) -> None:
    """Hold a named lock until this transaction ends; SQLite writers hold the whole file already."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(crc32(f"trimtab:{name}".encode()))))


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Values in pieces that fit one statement."""
    for start in range(0, len(values), CHUNK):
        yield values[start : start + CHUNK]
