"""Comparisons that read files, made between the watcher's transactions instead of within one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from trimtab.features.skew import Sample, SkewWindows
from trimtab.protocols import Comparer, StateTx
from trimtab.types import Comparison, Matured, PredictionRecord, Window


class _Closed(msgspec.Struct, frozen=True, array_like=True):
    """A window that is complete and was not compared yet."""

    start: float
    end: float
    samples: list[Sample]


class _Saved(msgspec.Struct, frozen=True, array_like=True):
    windows: bytes
    closed: list[_Closed]


class AheadWindows:
    """Holds back complete windows until they were compared, and yields them with what came of it.

    What waits is saved with the windows that are open: a watcher that is started again compares it then.

    Args:
        windows: Folds.
        comparer: Compares; it may take its time.
    """

    def __init__(self, windows: SkewWindows, comparer: Comparer) -> None:
        self._windows = windows
        self._comparer = comparer
        self._closed: dict[float, Window] = {}
        self._found: dict[float, Sequence[Comparison]] = {}

    def look(self) -> bool:
        """Compare what waits, and tell whether anything did. Call it where no transaction waits for it."""
        for start, window in self._closed.items():
            if start not in self._found:
                self._found[start] = self._comparer.compare(window)
        return bool(self._found)

    def fold(
        self, predictions: Sequence[PredictionRecord], matured: Sequence[Matured], state: StateTx
    ) -> Iterable[Window]:
        """Fold new records; the complete windows that were compared, oldest first."""
        for window in self._windows.fold(predictions, matured, state):
            self._closed[window.start] = window
        ready = [start for start in self._closed if start in self._found]
        return [replace(self._closed.pop(at), content=self._found.pop(at)) for at in ready]

    def dump(self) -> bytes:
        """All that has been folded and not yet yielded."""
        closed = [
            _Closed(window.start, window.end, window.content) for window in self._closed.values()
        ]
        return msgspec.msgpack.encode(_Saved(self._windows.dump(), closed))

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        saved = msgspec.msgpack.decode(blob, type=_Saved)
        self._windows.load(saved.windows)
        self._closed = {
            one.start: self._windows.made(one.start, one.end, one.samples) for one in saved.closed
        }
        self._found = {}


class AheadComparer:
    """Gives what was compared before."""

    def compare(self, window: Window) -> Sequence[Comparison]:
        """The comparisons that the window came with."""
        found: Sequence[Comparison] = window.content
        return found
