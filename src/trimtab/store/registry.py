"""Models, versions and aliases in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import IntegrityError

from trimtab.errors import Conflict, NotFound
from trimtab.store.statements import lock, upsert
from trimtab.store.tables import aliases, versions
from trimtab.types import Alias, Version


@dataclass(frozen=True, slots=True)
class SqlRegistry:
    """Models, versions and aliases, within a transaction."""

    connection: Connection

    def add_version(self, version: Version) -> None:
        """Keep a new version.

        Raises:
            Conflict: the model has this version already; versions never change.
        """
        row = {"model": version.model, "version": version.version, "body": version}
        try:
            self.connection.execute(versions.insert().values(row))
        except IntegrityError as exists:
            raise Conflict(
                f"{version.model!r} has a version {version.version} already.",
                hint="Versions never change; register the artifact as the next version.",
                code="version_exists",
            ) from exists

    def next_version(self, model: str) -> int:
        """The next version's number; others who ask wait until this transaction ends."""
        lock(self.connection, "registry")
        newest = select(func.max(versions.c.version)).where(versions.c.model == model)
        return (self.connection.scalar(newest) or 0) + 1

    def version(self, model: str, version: int) -> Version | None:
        """One version, if there is such."""
        return self.connection.scalar(
            select(versions.c.body).where(versions.c.model == model, versions.c.version == version)
        )

    def versions(self, model: str) -> Sequence[Version]:
        """All versions of a model, oldest first."""
        found = select(versions.c.body).where(versions.c.model == model)
        return self.connection.scalars(found.order_by(versions.c.version)).all()

    def models(self) -> Sequence[str]:
        """All model names, sorted."""
        return sorted(self.connection.scalars(select(versions.c.model).distinct()))

    def set_alias(self, alias: Alias) -> None:
        """Let an alias name a version, whatever it named before.

        Raises:
            NotFound: the model has no such version.
        """
        try:
            upsert(self.connection, aliases, [msgspec.structs.asdict(alias)])
        except IntegrityError as missing:
            raise NotFound(
                f"{alias.model!r} has no version {alias.version}.",
                hint=f"`trimtab show {alias.model}` lists its versions.",
                code="version_not_found",
            ) from missing

    def drop_alias(self, model: str, alias: str) -> None:
        """Take an alias away; idempotent."""
        self.connection.execute(
            aliases.delete().where(aliases.c.model == model, aliases.c.alias == alias)
        )

    def aliases(self, model: str) -> Sequence[Alias]:
        """All aliases of a model, by name."""
        found = select(aliases).where(aliases.c.model == model).order_by(aliases.c.alias)
        return [Alias(**row) for row in self.connection.execute(found).mappings()]
