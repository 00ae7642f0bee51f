"""The seams of flow 2: journal -> window -> compare -> judge -> act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from trimtab.protocols.state import StateTx
from trimtab.types import Alert, Comparison, Matured, PredictionRecord, Verdict, Window


class JournalReader(Protocol):
    """Reads journal segments from stated offsets."""

    def read(
        self, offsets: Mapping[str, int], limit: int
    ) -> tuple[Sequence[PredictionRecord], Mapping[str, int]]:
        """Up to about ``limit`` records after ``offsets``, and the offsets behind them."""
        ...


class Windower(Protocol):
    """journal -> window: folds what was recorded into windows of one model version or rollout.

    Stateful and deterministic: the same records in the same order give the same windows, whatever
    the batches were. ``state`` is the transaction that also saves how far the watcher has read.
    """

    def fold(
        self, predictions: Sequence[PredictionRecord], matured: Sequence[Matured], state: StateTx
    ) -> Iterable[Window]:
        """Fold new records; the windows that are now complete, oldest first."""
        ...

    def dump(self) -> bytes:
        """All that has been folded and not yet yielded, saved with the offsets."""
        ...

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        ...


class Comparer(Protocol):
    """window -> compare: how far a window is from the reference; pure."""

    def compare(self, window: Window) -> Sequence[Comparison]: ...


class Judge(Protocol):
    """compare -> judge: what a window means, given all windows before."""

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict: ...

    def dump(self) -> bytes:
        """What is remembered of earlier windows, saved with the offsets."""
        ...

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        ...


class Actor(Protocol):
    """judge -> act: carries out what a verdict asks for, in the same transaction."""

    def act(self, window: Window, verdict: Verdict, state: StateTx) -> Sequence[Alert]:
        """Change what must change; what people are to be told."""
        ...
