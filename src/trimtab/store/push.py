"""Hears over PostgreSQL that another process has raised the epoch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event as Flag
from threading import Thread

import psycopg

from trimtab.log_events import Event
from trimtab.store.control import PUSH_CHANNEL

logger = logging.getLogger(__name__)

_BEAT_SECONDS = 0.5
_RETRY_SECONDS = 1.0


class EpochListener:
    """Listens on a connection of its own, in a daemon thread, and connects again when it is lost.

    What was said while nobody listened is gone, so each new connection counts as a change.

    Args:
        conninfo: The database, as ``postgresql://user:password@host/database``.
        changed: Called after every change, in the thread; must not block.
    """

    def __init__(self, conninfo: str, changed: Callable[[], None]) -> None:
        self._conninfo = conninfo
        self._changed = changed
        self._stopping = Flag()
        self._thread = Thread(target=self._run, daemon=True, name="epoch-listener")
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; idempotent."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error as lost:
                logger.warning(Event.PUSH_LOST, extra={"reason": str(lost).partition("\n")[0]})
                self._stopping.wait(_RETRY_SECONDS)

    def _listen(self) -> None:
        with psycopg.connect(
            self._conninfo, autocommit=True, application_name="trimtab push"
        ) as connection:
            connection.execute(f"LISTEN {PUSH_CHANNEL}")
            self._changed()
            while not self._stopping.is_set():
                for _ in connection.notifies(timeout=_BEAT_SECONDS, stop_after=1):
                    self._changed()
