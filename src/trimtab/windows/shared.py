"""Windows of several machines that share one database, merged exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from trimtab.config import WatchConfig
from trimtab.log_events import tell_unreadable
from trimtab.protocols import StateTx
from trimtab.sketch import Sketcher, from_bytes, to_bytes
from trimtab.types import Matured, PredictionRecord, Window
from trimtab.windows.batch import Batch
from trimtab.windows.feature_windows import Closing, FeatureWindows, Saved
from trimtab.windows.panes import Pane
from trimtab.windows.segment import Segment
from trimtab.windows.summary import merge_windows


class _Merged(msgspec.Struct, frozen=True, kw_only=True):
    """How far windows have been merged, for all machines: ``next`` is the first pane that is not."""

    next: int
    recent: list[Pane]
    uncounted: int


class SharedWindows(FeatureWindows):
    """As ``FeatureWindows`` by time, of the traffic of all machines that share the database.

    Each machine's watcher folds its own journal. What it has of the windows that are open is saved with
    its offsets, and so is its watermark. A pane is complete when every machine's watermark is
    ``lateness_seconds`` past its end; a machine whose watermark is ``replica_wait_seconds`` behind the
    latest one is not waited for. Then one of the others, the first by name, merges what all of them
    have, under a lock and together with how far it has merged: each pane once, whoever dies.

    What a machine has of a pane that was merged without it is dropped and counted in ``late``.

    Args:
        subject: As for ``FeatureWindows``, and so are all up to ``segment``.
        model: The model's name.
        version: The version whose predictions are folded.
        sketcher: What is kept of them.
        config: ``replica`` is this machine's name.
        segment: The only part of the traffic that is folded.
        key: Names what is saved, the same on every machine.
        restore: Called before windows are yielded: the judges' memory is that of whoever merged last.
    """

    def __init__(
        self,
        subject: str,
        model: str,
        version: int,
        sketcher: Sketcher,
        config: WatchConfig,
        segment: Segment | None,
        *,
        key: str,
        restore: Callable[[StateTx], None],
    ) -> None:
        super().__init__(subject, model, version, sketcher, config, segment)
        self._key = key
        self._replica = config.replica
        self._wait = config.replica_wait_seconds
        self._restore = restore

    def fold(
        self,
        predictions: Sequence[PredictionRecord],
        matured: Sequence[Matured],  # noqa: ARG002 - drift needs no outcomes
        state: StateTx,
    ) -> Iterable[Window]:
        """Fold new records; the windows of all machines that are now complete, if it is on this one."""
        self._follow(self._merged(state))
        batch = predictions if isinstance(predictions, Batch) else Batch(predictions)
        admitted = self._clock.admit(batch.of(self._model))
        if len(admitted.watermarks):
            self._take(admitted)
        mark = self._clock.watermark
        if mark is None:
            return []
        state.watch.save_blob(f"{self._key}#{self._replica}", msgspec.msgpack.encode(mark))
        limit = self._limit(self._marks(state))
        if limit is None or limit <= self._closed:
            return []
        state.watch.lock(self._key)
        self._follow(self._merged(state))
        return self._close(limit, state)

    def _marks(self, state: StateTx) -> Mapping[str, float]:
        """The watermark of each machine."""
        saved = state.watch.blobs(f"{self._key}#")
        return {
            name.rpartition("#")[2]: msgspec.msgpack.decode(mark, type=float)
            for name, mark in saved.items()
        }

    def _limit(self, marks: Mapping[str, float]) -> int | None:
        """The first pane that is not complete; None if merging is up to another machine."""
        latest = max(marks.values())
        awaited = sorted(name for name, mark in marks.items() if mark >= latest - self._wait)
        if awaited[0] != self._replica:
            return None
        slowest = min(marks[name] for name in awaited)
        return math.floor((slowest - self._lateness) / self._cut.seconds)

    def _close(self, limit: int, state: StateTx) -> list[Window]:
        panes: dict[int, list[Pane]] = {}
        for pane in (*self._open.values(), *self._elsewhere(state)):
            if self._closed <= pane.cell < limit:
                panes.setdefault(pane.cell, []).append(pane)
        windows = [
            self._window(Closing(0, _joined(panes[cell]), full=False)) for cell in sorted(panes)
        ]
        merged = _Merged(next=limit, recent=self._recent, uncounted=self._uncounted)
        state.watch.save_blob(f"{self._key}+", to_bytes(merged))
        self._follow(merged)
        if windows:
            self._restore(state)
        return windows

    def _elsewhere(self, state: StateTx) -> Iterable[Pane]:
        """What the other machines had folded when they last saved it."""
        for name, blob in state.watch.blobs(f"{self._key}@").items():
            if name == f"{self._key}@{self._replica}":
                continue
            try:
                windows, _ = msgspec.msgpack.decode(blob, type=tuple[bytes | None, bytes])
                panes = [] if windows is None else from_bytes(windows, Saved).open
            except msgspec.MsgspecError as why:
                tell_unreadable(name, "windows", why)
                continue
            yield from panes

    def _merged(self, state: StateTx) -> _Merged | None:
        blob = state.watch.blob(f"{self._key}+")
        if blob is None:
            return None
        try:
            return from_bytes(blob, _Merged)
        except msgspec.MsgspecError as why:
            tell_unreadable(f"{self._key}+", "merged windows", why)
            return None

    def _follow(self, merged: _Merged | None) -> None:
        """Leave what has been merged."""
        if merged is None:
            return
        self._closed, self._recent, self._uncounted = merged.next, merged.recent, merged.uncounted
        self._open = {key: pane for key, pane in self._open.items() if key[0] >= merged.next}
        self._held = {cell: held for cell, held in self._held.items() if cell >= merged.next}


def _joined(parts: Sequence[Pane]) -> Pane:
    """All machines' rows of one pane."""
    return msgspec.structs.replace(
        parts[0],
        first=min(part.first for part in parts),
        last=max(part.last for part in parts),
        content=merge_windows([part.content for part in parts]),
    )
