"""One watcher judges a rollout, or measures performance, by what all machines have answered.

Machines that share a database keep their journals to themselves. What rollouts and performance need of a
journal is little: the watchers that do not lead hand it over in the database, in the transaction that moves
their offsets, and the leader takes it in the one in which it counts it. So each answer and each outcome is
counted once, whoever dies and whoever leads next; a leader that was deposed takes nothing.

Both come together: an outcome is handed over after the answers that it may belong to were, as their
facts are committed with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec.structs import replace

from trimtab.protocols import StateTx, Windower
from trimtab.types import Matured, PredictionFacts, PredictionRecord, Rollout, Window


class Handed(msgspec.Struct, frozen=True):
    """What one tick of one machine has of a rollout or version: answers, and outcomes."""

    records: tuple[PredictionRecord, ...] = ()
    matured: tuple[Matured, ...] = ()


_decoder = msgspec.msgpack.Decoder(Handed)


class Inbox:
    """What was handed over and not counted yet, by key; filled within the transaction that counts it."""

    def __init__(self) -> None:
        self._found: dict[str, list[Handed]] = {}

    def fill(self, state: StateTx) -> None:
        """Take all that was handed over; what is watched no more is dropped."""
        self._found = {}
        for key, body in state.watch.take_handed():
            self._found.setdefault(key, []).append(_decoder.decode(body))

    def of(self, key: str) -> Sequence[Handed]:
        """What was handed over under a key, oldest first."""
        return self._found.get(key, ())


class Gathered:
    """A windower that folds what was handed over, too.

    Args:
        windower: Folds the answers and outcomes of all machines.
        key: What it was handed over under: a rollout's id, or a version's performance.
        inbox: Filled before each fold.
    """

    def __init__(self, windower: Windower, key: str, inbox: Inbox) -> None:
        self._windower = windower
        self._key = key
        self._inbox = inbox

    def fold(
        self, predictions: Sequence[PredictionRecord], matured: Sequence[Matured], state: StateTx
    ) -> Iterable[Window]:
        """Fold new records of this machine and of the others."""
        handed = self._inbox.of(self._key)
        return self._windower.fold(
            [*predictions, *(record for each in handed for record in each.records)],
            [*matured, *(outcome for each in handed for outcome in each.matured)],
            state,
        )

    def dump(self) -> bytes:
        """All that has been folded."""
        return self._windower.dump()

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        self._windower.load(blob)


class HandOver:
    """In place of a windower where another machine leads: it yields nothing, and hands over.

    Args:
        key: What the leader finds it under.
        mine: Whether an answer, or what was kept of one for its outcome, is to be handed over.
        bare: An answer without what the leader does not read.
    """

    def __init__(
        self,
        key: str,
        mine: Callable[[PredictionRecord | PredictionFacts], bool],
        bare: Callable[[PredictionRecord], PredictionRecord],
    ) -> None:
        self._key = key
        self._mine = mine
        self._bare = bare

    @classmethod
    def of_rollout(cls, rollout: Rollout) -> HandOver:
        """Of all that a rollout's guardrails read."""
        return cls(rollout.id, lambda one: one.rollout == rollout.id, _bare)

    def fold(
        self, predictions: Sequence[PredictionRecord], matured: Sequence[Matured], state: StateTx
    ) -> Iterable[Window]:
        """Leave what is to be handed over for the leader."""
        found = Handed(
            tuple(self._bare(record) for record in predictions if self._mine(record)),
            tuple(outcome for outcome in matured if self._mine(outcome.facts)),
        )
        if found.records or found.matured:
            state.watch.hand_over(self._key, msgspec.msgpack.encode(found))
        return ()

    def dump(self) -> bytes:
        """Nothing is remembered."""
        return b""

    def load(self, blob: bytes) -> None:
        """Nothing is remembered."""


def _bare(record: PredictionRecord) -> PredictionRecord:
    """A record without what no guardrail reads."""
    return replace(record, values=(), ages_seconds=(), outputs=(), entities={}, withheld=())
