"""The audit log in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from trimtab.errors import Conflict
from trimtab.store.statements import lock
from trimtab.store.tables import audit
from trimtab.types import AuditEntry


@dataclass(frozen=True, slots=True)
class SqlAudit:
    """The hash-chained audit log, within a transaction."""

    connection: Connection
    writing: bool

    def last(self) -> AuditEntry | None:
        """The newest entry; a writer is the only one to extend it until its transaction ends."""
        if self.writing:
            lock(self.connection, "audit")
        newest = self.entries(limit=1)
        return newest[0] if newest else None

    def add(self, entry: AuditEntry) -> None:
        """Append an entry.

        Raises:
            Conflict: there is an entry with this sequence number already.
        """
        try:
            self.connection.execute(audit.insert().values(msgspec.structs.asdict(entry)))
        except IntegrityError as exists:
            raise Conflict(
                f"The audit log has an entry {entry.seq} already.",
                hint="Read the last entry in the same transaction and append behind it.",
                code="audit_moved",
            ) from exists

    def entries(self, model: str | None = None, limit: int = 1000) -> Sequence[AuditEntry]:
        """The newest ``limit`` entries, oldest first."""
        newest = select(audit).order_by(audit.c.seq.desc()).limit(limit)
        if model is not None:
            newest = newest.where(audit.c.model == model)
        rows = self.connection.execute(newest).mappings().all()
        return [AuditEntry(**row) for row in reversed(rows)]
