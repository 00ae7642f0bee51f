"""Brings a database that is not of the present schema to it; only then is Alembic imported."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from trimtab.errors import InvalidConfig


def upgrade(connection: Connection) -> None:
    """Apply the migrations that are missing, within the caller's write transaction.

    Raises:
        InvalidConfig: the database was written by a newer release.
    """
    config = Config()
    folder = Path(__file__).with_name("migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    present = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory.from_config(config)
    if present == script.get_current_head():
        return
    if present not in (None, *(revision.revision for revision in script.walk_revisions())):
        raise InvalidConfig(
            f"The state database has schema {present!r}, which this release does not know.",
            hint="A newer release wrote it: upgrade trimtab, or point [state] elsewhere.",
            code="schema_too_new",
            path="state.url",
        )
    command.upgrade(config, "head")
