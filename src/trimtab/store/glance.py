"""Whether anything has changed: the control epoch, without what a transaction costs."""

from __future__ import annotations

from contextlib import closing
from threading import Lock
from typing import Any

from sqlalchemy import Engine, exc, select

from trimtab.store.engine import translated, unavailable
from trimtab.store.tables import control

_EPOCH = str(select(control.c.epoch))


class Glance:
    """Reads the epoch over a connection of its own and outside of any transaction; safe to use from many threads.

    Workers look several times a second between requests, which wait as long: for a hundredth of what a session and
    its statements take. A connection that is lost is made anew once a look.

    Args:
        engine: Where the state is; nothing is connected yet.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._error = engine.dialect.loaded_dbapi.Error
        self._connection: Any = None

    def epoch(self) -> int:
        """The epoch that was committed last.

        Raises:
            Unavailable: the database cannot be reached, or is damaged.
        """
        with self._lock:
            if self._connection is not None:
                try:
                    return self._read()
                except self._error:
                    self._drop()
            try:
                self._connection = self._connected()
                return self._read()
            except (exc.DBAPIError, exc.TimeoutError) as failed:
                raise translated(failed, self._engine.url) from failed
            except self._error as failed:
                self._drop()
                raise unavailable(str(failed), self._engine.url) from failed

    def close(self) -> None:
        """Release the connection; idempotent."""
        with self._lock:
            self._drop()

    def _connected(self) -> Any:
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        if self._engine.dialect.name == "postgresql":
            connection.autocommit = True  # SQLite's connections begin nothing by themselves
        return connection

    def _read(self) -> int:
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(_EPOCH)
            ((epoch,),) = cursor.fetchall()
        return int(epoch)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
