"""What the watcher derives, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, delete, select

from trimtab.store.statements import chunks, insert, lock, upsert
from trimtab.store.tables import blobs, events, exposures, handed, offsets, verdicts
from trimtab.types import Exposure, Verdict


@dataclass(frozen=True, slots=True)
class SqlWatch:
    """The watcher's state, within a transaction."""

    connection: Connection

    def offsets(self) -> Mapping[str, int]:
        """How far each journal segment has been read."""
        rows = self.connection.execute(select(offsets.c.segment, offsets.c.position))
        return {row.segment: row.position for row in rows}

    def save_offsets(self, offsets_by_segment: Mapping[str, int]) -> None:
        """Keep the offsets of these segments; those of others stay as they are."""
        rows = [
            {"segment": segment, "position": position}
            for segment, position in sorted(offsets_by_segment.items())
        ]
        upsert(self.connection, offsets, rows)

    def forget_offsets(self, segments: Sequence[str]) -> None:
        """Forget how far segments were read that are no more."""
        for some in chunks(segments):
            self.connection.execute(delete(offsets).where(offsets.c.segment.in_(some)))

    def blob(self, key: str) -> bytes | None:
        """What was saved under a key."""
        return self.connection.scalar(select(blobs.c.blob).where(blobs.c.key == key))

    def save_blob(self, key: str, blob: bytes) -> None:
        """Keep bytes under a key in place of those before."""
        upsert(self.connection, blobs, [{"key": key, "blob": blob}])

    def blobs(self, prefix: str) -> Mapping[str, bytes]:
        """What was saved under keys that begin so, by key."""
        matching = blobs.c.key.startswith(prefix, autoescape=True)
        rows = self.connection.execute(
            select(blobs.c.key, blobs.c.blob).where(matching).order_by(blobs.c.key)
        )
        return {row.key: row.blob for row in rows if row.key.startswith(prefix)}

    def lock(self, name: str) -> None:
        """Hold a named lock until the transaction ends."""
        lock(self.connection, f"watch:{name}")

    def hand_over(self, key: str, body: bytes) -> None:
        """Leave something about a rollout for the watcher that leads."""
        self.connection.execute(handed.insert().values(rollout=key, body=body))

    def has_handed(self) -> bool:
        """Whether something was left."""
        return self.connection.scalar(select(handed.c.id).limit(1)) is not None

    def take_handed(self) -> Sequence[tuple[str, bytes]]:
        """All that was left, oldest first, each with its rollout; it is taken once."""
        taken = self.connection.execute(
            delete(handed).returning(handed.c.id, handed.c.rollout, handed.c.body)
        )
        return [(row.rollout, row.body) for row in sorted(taken, key=lambda row: row.id)]

    def add_verdict(self, verdict: Verdict) -> None:
        """Keep a verdict; one on the same subject and window is replaced."""
        statement = insert(self.connection, verdicts).values(
            model=verdict.model,
            subject=verdict.subject,
            version=verdict.version,
            start=verdict.start,
            end=verdict.end,
            body=verdict,
        )
        self.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["model", "subject", "version", "end", "start"],
                set_={"body": statement.excluded.body},
            )
        )

    def verdicts(
        self, model: str, subject: str | None = None, version: int | None = None, limit: int = 1000
    ) -> Sequence[Verdict]:
        """The newest ``limit`` verdicts by the end of their window, oldest first."""
        newest = select(verdicts.c.body).where(verdicts.c.model == model)
        if subject is not None:
            newest = newest.where(verdicts.c.subject == subject)
        if version is not None:
            newest = newest.where(verdicts.c.version == version)
        newest = newest.order_by(verdicts.c.end.desc(), verdicts.c.id.desc()).limit(limit)
        return self.connection.scalars(newest).all()[::-1]

    def new_exposures(self, exposed: Sequence[Exposure]) -> Sequence[Exposure]:
        """Keep each unit's first exposure in its rollout; those that were first, in order."""
        first: dict[tuple[str, str], Exposure] = {}
        for exposure in exposed:
            first.setdefault((exposure.rollout, exposure.unit), exposure)
        if not first:
            return []
        rows = [msgspec.structs.asdict(first[key]) for key in sorted(first)]
        kept = self.connection.execute(
            insert(self.connection, exposures)
            .on_conflict_do_nothing()
            .returning(exposures.c.rollout, exposures.c.unit),
            rows,
        )
        new = {(rollout, unit) for rollout, unit in kept}
        return [exposure for key, exposure in first.items() if key in new]

    def exposures(self, rollout: str, units: Sequence[str]) -> Mapping[str, Exposure]:
        """The first exposures of those units that have one."""
        found: dict[str, Exposure] = {}
        for some in chunks(list(dict.fromkeys(units))):
            statement = select(exposures).where(
                exposures.c.rollout == rollout, exposures.c.unit.in_(some)
            )
            for row in self.connection.execute(statement).mappings():
                found[row["unit"]] = Exposure(**row)
        return found

    def new_events(self, rollout: str, guardrail: str, units: Sequence[str]) -> Sequence[str]:
        """Keep each unit's first event of a guardrail; those that were first, in order."""
        first = dict.fromkeys(units)
        if not first:
            return []
        kept = self.connection.scalars(
            insert(self.connection, events).on_conflict_do_nothing().returning(events.c.unit),
            [{"rollout": rollout, "guardrail": guardrail, "unit": unit} for unit in sorted(first)],
        )
        new = set(kept)
        return [unit for unit in first if unit in new]
