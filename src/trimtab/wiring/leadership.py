"""One watcher acts for a deployment, wherever the others run; one that was deposed can write nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import Conflict
from trimtab.protocols import Clock, StateStore, StateTx

LEASE_SECONDS = 10.0
"""How long after its last transaction a watcher that died still counts as the leader."""


def holder_of(folder: Path) -> str:
    """The name of a state directory's watcher: of the same directory there is one at a time."""
    return f"{socket.gethostname()}:{folder}"


@dataclass(slots=True)
class Leadership:
    """The lease of one watcher.

    Args:
        state: Where the lease is.
        holder: Who asks for it.
        clock: Wall time. Clocks that differ cost changes of leadership, and nothing else.
        seconds: How long the lease lasts.
    """

    state: StateStore
    holder: str
    clock: Clock
    seconds: float = LEASE_SECONDS
    term: int | None = None

    def lead(self) -> bool:
        """Whether this watcher leads; it takes the lead if nobody has it.

        Raises:
            Unavailable: the state cannot be read or written.
        """
        if self.term is None and not self._taken():
            with self.state.transaction() as state:
                self.term = state.leadership.claim(self.holder, self.clock.now(), self.seconds)
        return self.term is not None

    def resign(self) -> None:
        """Let another one lead at once."""
        if self.term is not None:
            with self.state.transaction() as state:
                state.leadership.resign(self.term)
            self.term = None

    def holds(self, state: StateTx) -> bool:
        """Whether this watcher leads; if so, nobody takes over before the transaction has ended."""
        now = self.clock.now()
        if self.term is not None and not state.leadership.hold(self.term, now, self.seconds):
            self.term = None
        return self.term is not None

    def hold(self, state: StateTx) -> None:
        """Refuse a transaction of a watcher that does not lead any more.

        Raises:
            Conflict: it was deposed.
        """
        if not self.holds(state):
            raise Conflict(
                "Another watcher has taken the lead; this one changes nothing any more.",
                code="deposed",
                hint="It takes over again by itself when the other one stops.",
            )

    def _taken(self) -> bool:
        with self.state.reading() as state:
            leader = state.leadership.leader(self.clock.now(), self.seconds)
        return leader not in (None, self.holder)


@dataclass(frozen=True, slots=True)
class LedState:
    """A state whose every write is the leader's, or is refused; a :class:`StateStore`."""

    state: StateStore
    leadership: Leadership

    @contextmanager
    def transaction(self) -> Iterator[StateTx]:
        """A write transaction, which begins with a look at the lease.

        Raises:
            Conflict: the watcher was deposed.
        """
        with self.state.transaction() as state:
            self.leadership.hold(state)
            yield state

    def reading(self) -> AbstractContextManager[StateTx]:
        """A consistent snapshot for reading."""
        return self.state.reading()

    def epoch(self) -> int:
        """As the state's own."""
        return self.state.epoch()

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        """As the state's own."""
        return self.state.listen(changed)

    def close(self) -> None:
        """Release connections; idempotent."""
        self.state.close()
