"""Which watcher acts: a lease in SQL with a term, by which a deposed one is told apart."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, select

from trimtab.store.statements import lock, upsert
from trimtab.store.tables import settings

_KEY = "leader"
_FARTHEST = 3.0


class Lease(msgspec.Struct, frozen=True):
    """Who leads in which term, and until when on its own clock."""

    holder: str
    term: int
    until: float


@dataclass(frozen=True, slots=True)
class SqlLeadership:
    """The lease, within a transaction."""

    connection: Connection

    def leader(self, now: float, seconds: float) -> str | None:
        """Whose lease is in force; one that ends absurdly late is of a clock that was wrong."""
        return _holder(self._kept(), now, seconds)

    def claim(self, holder: str, now: float, seconds: float) -> int | None:
        """Begin a new term unless another one's lease is in force; the term, or None."""
        lock(self.connection, "leader")
        kept = self._kept(keep_still=True)
        if _holder(kept, now, seconds) not in (None, holder):
            return None
        term = 1 if kept is None else kept.term + 1
        self._keep(Lease(holder, term, now + seconds))
        return term

    def hold(self, term: int, now: float, seconds: float) -> bool:
        """Whether the term goes on. Until this transaction ends nobody can begin another."""
        kept = self._kept(keep_still=True)
        if kept is None or kept.term != term:
            return False
        if not now + seconds / 2 < kept.until <= now + seconds:
            self._keep(Lease(kept.holder, term, now + seconds))
        return True

    def resign(self, term: int) -> None:
        """End the term now, if it still goes on."""
        kept = self._kept(keep_still=True)
        if kept is not None and kept.term == term:
            self._keep(Lease(kept.holder, term, 0.0))

    def _kept(self, *, keep_still: bool = False) -> Lease | None:
        found = select(settings.c.value).where(settings.c.key == _KEY)
        text = self.connection.scalar(found.with_for_update() if keep_still else found)
        return None if text is None else msgspec.json.decode(text, type=Lease)

    def _keep(self, lease: Lease) -> None:
        value = msgspec.json.encode(lease).decode()
        upsert(self.connection, settings, [{"key": _KEY, "value": value}])


def _holder(kept: Lease | None, now: float, seconds: float) -> str | None:
    in_force = kept is not None and now < kept.until <= now + _FARTHEST * seconds
    return kept.holder if kept is not None and in_force else None
