"""The state of a deployment: one transaction over everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select

from trimtab.protocols import StateStore
from trimtab.store.alerts import SqlAlerts
from trimtab.store.audit import SqlAudit
from trimtab.store.control import SqlControl
from trimtab.store.engine import WAIT_SECONDS, begun, open_engine
from trimtab.store.features import SqlFeatures
from trimtab.store.glance import Glance
from trimtab.store.leadership import SqlLeadership
from trimtab.store.migrate import is_present, migrate
from trimtab.store.outcomes import SqlOutcomes
from trimtab.store.registry import SqlRegistry
from trimtab.store.statements import upsert
from trimtab.store.tables import settings
from trimtab.store.watch import SqlWatch


@dataclass(frozen=True, slots=True)
class SqlTx:
    """One transaction over all state: everything in it commits, or nothing."""

    connection: Connection
    registry: SqlRegistry
    control: SqlControl
    audit: SqlAudit
    outcomes: SqlOutcomes
    watch: SqlWatch
    alerts: SqlAlerts
    features: SqlFeatures
    leadership: SqlLeadership

    def setting(self, key: str) -> str | None:
        """A small text kept under a key."""
        return self.connection.scalar(select(settings.c.value).where(settings.c.key == key))

    def save_setting(self, key: str, value: str) -> None:
        """Keep a small text under a key in place of the one before."""
        upsert(self.connection, settings, [{"key": key, "value": value}])


class SqlStateStore:
    """State in SQLite or PostgreSQL; safe to use from many threads and processes.

    Writers come one after the other in SQLite; in PostgreSQL only those that change the same things
    wait for each other. Transactions do not nest. A forked process must open a store of its own.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._glance = Glance(engine)

    @contextmanager
    def transaction(self) -> Iterator[SqlTx]:
        """A write transaction; commits on leaving, rolls back on an exception.

        Raises:
            Unavailable: the database cannot be reached, is locked, full, damaged or read-only.
            Conflict: another transaction stood in the way of this one.
            InvalidRequest: a value that the database cannot keep.
        """
        with begun(self._engine, writing=True) as connection:
            yield _tx(connection, writing=True)

    @contextmanager
    def reading(self) -> Iterator[SqlTx]:
        """A consistent snapshot for reading; it refuses to write.

        Raises:
            Unavailable: the database cannot be reached or is damaged, or something was written.
        """
        with begun(self._engine, writing=False) as connection:
            yield _tx(connection, writing=False)

    def epoch(self) -> int:
        """The control epoch, for who asks often whether anything has changed.

        Raises:
            Unavailable: the database cannot be reached or is damaged.
        """
        return self._glance.epoch()

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` soon after the epoch was raised anywhere; the result stops that.

        SQLite tells nobody: there the host's epoch cell does.
        """
        if self._engine.dialect.name != "postgresql":
            return _nothing
        from trimtab.store.push import EpochListener

        url = self._engine.url.set(drivername="postgresql")
        return EpochListener(url.render_as_string(hide_password=False), changed).stop

    def close(self) -> None:
        """Release connections; idempotent."""
        self._glance.close()
        self._engine.dispose()


def open_state(url: str, wait_seconds: float = WAIT_SECONDS) -> StateStore:
    """Open the state of a deployment and bring it to the present schema.

    Where that is there already nothing is locked, so whoever only reads waits for no writer.

    Args:
        url: ``sqlite:///path/state.db`` or ``postgresql://user:password@host/database``.
        wait_seconds: How long a transaction waits for another one.

    Raises:
        InvalidConfig: the URL is unusable, or a newer release wrote the database.
        Unavailable: the database cannot be reached, is locked, full, damaged or read-only.
    """
    engine = open_engine(url, wait_seconds)
    with ExitStack() as on_failure:
        on_failure.callback(engine.dispose)
        with begun(engine, writing=False) as connection:
            ready = is_present(connection)
        if not ready:
            with begun(engine, writing=True) as connection:
                migrate(connection)
        on_failure.pop_all()
    return SqlStateStore(engine)


def _nothing() -> None:
    """There is nothing to stop."""


def _tx(connection: Connection, *, writing: bool) -> SqlTx:
    return SqlTx(
        connection=connection,
        registry=SqlRegistry(connection),
        control=SqlControl(connection),
        audit=SqlAudit(connection, writing),
        outcomes=SqlOutcomes(connection),
        watch=SqlWatch(connection),
        alerts=SqlAlerts(connection),
        features=SqlFeatures(connection, writing),
        leadership=SqlLeadership(connection),
    )
