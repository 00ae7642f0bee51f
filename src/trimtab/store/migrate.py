"""Sees that a database has the present schema."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from trimtab.store.statements import lock

_VERSIONS = Path(__file__).with_name("migrations") / "versions"


def migrate(connection: Connection) -> None:
    """Apply the migrations that are missing, within the caller's write transaction.

    Raises:
        InvalidConfig: the database was written by a newer release.
    """
    lock(connection, "migrations")
    if is_present(connection):
        return
    from trimtab.store.upgrade import upgrade

    upgrade(connection)


def is_present(connection: Connection) -> bool:
    """Whether the database has the present schema, so that nothing is to be done."""
    return _present(connection) == _newest()


def _present(connection: Connection) -> str | None:
    """The revision that the database has; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _newest() -> str:
    """The newest revision: its file is named ``r<revision>_<what>.py``, in rising order."""
    return max(path.name[1:].partition("_")[0] for path in _VERSIONS.glob("r*.py"))
