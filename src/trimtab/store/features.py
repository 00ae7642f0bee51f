"""Applied feature views and the progress of writing jobs, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, and_, delete, func, select
from sqlalchemy.exc import IntegrityError

from trimtab.errors import Conflict
from trimtab.store.statements import lock, upsert
from trimtab.store.tables import feature_progress, feature_views
from trimtab.types import AppliedView, SourceProgress


@dataclass(frozen=True, slots=True)
class SqlFeatures:
    """Applied views and progress, within a transaction."""

    connection: Connection
    writing: bool

    def add_view(self, applied: AppliedView) -> None:
        """Keep a new version of a view.

        Raises:
            Conflict: the view has this version already; versions never change.
        """
        try:
            self.connection.execute(feature_views.insert().values(msgspec.structs.asdict(applied)))
        except IntegrityError as exists:
            raise Conflict(
                f"The view {applied.view!r} has a version {applied.version} already.",
                hint="Somebody else applied it at the same time; look at it and apply again.",
                code="version_exists",
            ) from exists

    def views(self) -> Sequence[AppliedView]:
        """The newest version of every view, by name; writers come one after the other."""
        if self.writing:
            lock(self.connection, "features")
        newest = (
            select(feature_views.c.view, func.max(feature_views.c.version).label("version"))
            .group_by(feature_views.c.view)
            .subquery()
        )
        found = select(feature_views).join(
            newest,
            and_(
                feature_views.c.view == newest.c.view,
                feature_views.c.version == newest.c.version,
            ),
        )
        rows = self.connection.execute(found.order_by(feature_views.c.view)).mappings()
        return [AppliedView(**row) for row in rows]

    def versions(self, view: str) -> Sequence[AppliedView]:
        """All versions of a view, oldest first."""
        found = select(feature_views).where(feature_views.c.view == view)
        rows = self.connection.execute(found.order_by(feature_views.c.version)).mappings()
        return [AppliedView(**row) for row in rows]

    def progress(self, job: str) -> Mapping[str, SourceProgress]:
        """How far a job has read each of its sources, by source."""
        columns = (feature_progress.c.source, feature_progress.c.stamp, feature_progress.c.done)
        found = select(*columns).where(feature_progress.c.job == job)
        rows = self.connection.execute(found).mappings()
        return {row["source"]: SourceProgress(**row) for row in rows}

    def save_progress(self, job: str, progress: SourceProgress) -> None:
        """Keep how far a job has read a source, in place of what was kept before."""
        row = {"job": job, **msgspec.structs.asdict(progress)}
        upsert(self.connection, feature_progress, [row])

    def forget_progress(self, job: str) -> None:
        """Let a job start from the beginning."""
        self.connection.execute(delete(feature_progress).where(feature_progress.c.job == job))
