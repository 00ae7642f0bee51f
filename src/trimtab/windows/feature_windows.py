"""One version's predictions, folded into windows of mergeable sketches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from trimtab.config import WatchConfig
from trimtab.protocols import StateTx
from trimtab.sketch import IntArray, Sketcher, from_bytes, to_bytes
from trimtab.types import Matured, PredictionRecord, Window
from trimtab.windows.batch import Batch, VersionRows
from trimtab.windows.clock import Admitted, EventClock
from trimtab.windows.panes import Cut, Pane
from trimtab.windows.segment import Segment
from trimtab.windows.summary import merge_windows, summarise

Key = tuple[int, int]
NEVER = -(2**62)


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """All that has been folded and not yet yielded."""

    watermark: float | None
    suspects: list[PredictionRecord]
    open: list[Pane]
    held: list[tuple[int, int, int]]
    recent: list[Pane]
    uncounted: int
    late: int
    skewed: int


class Closing(NamedTuple):
    """A pane that is complete, by the place of the record that completed it."""

    place: int
    pane: Pane
    full: bool


class FeatureWindows:
    """Folds one version's predictions into windows, tumbling or sliding.

    By time, a window spans ``window_seconds`` and closes, and is yielded, once the watermark (the
    latest event time among the model's records of whatever version) is ``lateness_seconds`` past its
    end. A record of a window that has closed is dropped and counted in ``late``. By rows, a window
    closes when it has ``window_rows``. By both, it closes at whichever comes first. Shadow
    predictions are not folded.

    A window has ``window_panes`` panes. With one, windows tumble. With more, a window is yielded with
    every pane that closes and is the last so many panes merged; all but every so-manieth overlap an
    earlier one, and say so.

    Which window a record falls into depends on the records before it and not on how they were
    batched, so that a restart changes nothing. Broken clocks: :class:`trimtab.windows.clock.EventClock`.

    The panes that are open lie within ``lateness_seconds`` and one pane of the watermark, which bounds
    their number.

    Args:
        subject: ``data_drift``, for example.
        model: The model's name.
        version: The version whose predictions are folded.
        sketcher: What is kept of them.
        config: How windows are cut, and lateness in seconds.
        segment: The only part of the traffic that is folded; None folds all.
    """

    def __init__(
        self,
        subject: str,
        model: str,
        version: int,
        sketcher: Sketcher,
        config: WatchConfig,
        segment: Segment | None = None,
    ) -> None:
        self._subject = subject
        self._model = model
        self._version = version
        self._sketcher = sketcher
        self._segment = segment
        self._lateness = config.lateness_seconds
        self._panes = config.window_panes
        self._cut = Cut.of(config)
        self._clock = EventClock(config.window_seconds + config.lateness_seconds)
        self._open: dict[Key, Pane] = {}
        self._held: dict[int, tuple[int, int]] = {}
        self._recent: list[Pane] = []
        self._uncounted = 0
        self._closed = NEVER
        self.late = 0

    @property
    def skewed(self) -> int:
        """Records that were dropped because their clock was broken."""
        return self._clock.skewed

    def fold(
        self,
        predictions: Sequence[PredictionRecord],
        matured: Sequence[Matured],  # noqa: ARG002 - drift needs no outcomes
        state: StateTx,  # noqa: ARG002 - nor the state
    ) -> Iterable[Window]:
        """Fold new records; the windows that are now complete, in the order of their completion."""
        batch = predictions if isinstance(predictions, Batch) else Batch(predictions)
        admitted = self._clock.admit(batch.of(self._model))
        if not len(admitted.watermarks):
            return []
        closing = self._take(admitted)
        closing += self._expired(admitted)
        closing.sort(key=lambda one: (one.place, one.pane.cell, one.pane.chunk))
        return [self._window(one) for one in closing]

    def dump(self) -> bytes:
        """All that has been folded and not yet yielded."""
        return to_bytes(
            Saved(
                watermark=self._clock.watermark,
                suspects=list(self._clock.suspects),
                open=[self._open[key] for key in sorted(self._open)],
                held=[(cell, *self._held[cell]) for cell in sorted(self._held)],
                recent=self._recent,
                uncounted=self._uncounted,
                late=self.late,
                skewed=self._clock.skewed,
            )
        )

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        saved = from_bytes(blob, Saved)
        self._clock.watermark = saved.watermark
        self._clock.suspects.clear()
        self._clock.suspects.extend(saved.suspects)
        self._clock.skewed = saved.skewed
        self._open = {(pane.cell, pane.chunk): pane for pane in saved.open}
        self._held = {cell: (chunk, rows) for cell, chunk, rows in saved.held}
        self._recent = saved.recent
        self._uncounted = saved.uncounted
        self.late = saved.late

    def _take(self, admitted: Admitted) -> list[Closing]:
        """Put the version's rows into their panes; the panes that they fill."""
        rows = admitted.rows.of(self._version)
        places = np.arange(len(rows.rows)) if self._segment is None else self._segment.places(rows)
        cells = self._cut.cells(admitted.rows.times[rows.rows[places]])
        before = admitted.watermarks[rows.rows[places]]
        open_from = np.maximum(self._cut.closed_before(before, self._lateness), self._closed)
        in_time = cells >= open_from
        self.late += int(np.count_nonzero(~in_time))
        filled: list[Closing] = []
        for part in self._cut.parts(cells[in_time], places[in_time], self._held):
            key = (part.cell, part.chunk)
            self._open[key] = self._grown(self._open.get(key), key, rows, part.places)
            if part.full:
                last = int(rows.rows[part.places[-1]])
                filled.append(Closing(last, self._open.pop(key), full=True))
        return filled

    def _grown(self, known: Pane | None, key: Key, rows: VersionRows, places: IntArray) -> Pane:
        times = rows.times[places]
        new = Pane(
            cell=key[0],
            chunk=key[1],
            first=float(times.min()),
            last=float(times.max()),
            content=summarise(self._sketcher, rows, places),
        )
        if known is None:
            return new
        return msgspec.structs.replace(
            new,
            first=min(known.first, new.first),
            last=max(known.last, new.last),
            content=merge_windows((known.content, new.content)),
        )

    def _expired(self, admitted: Admitted) -> list[Closing]:
        """The panes whose time is over, each with the record whose event time says so."""
        reached = np.maximum(admitted.watermarks, admitted.rows.times)
        limits = self._cut.closed_before(reached, self._lateness)
        closing = []
        for key in [key for key in self._open if key[0] < limits[-1]]:
            place = int(np.searchsorted(limits, key[0], side="right"))
            closing.append(Closing(place, self._open.pop(key), full=False))
        self._held = {cell: held for cell, held in self._held.items() if cell >= limits[-1]}
        return closing

    def _window(self, closed: Closing) -> Window:
        """The window that ends with this pane."""
        pane = self._bounded(closed)
        most = self._panes - 1
        recent = self._recent[-most:] if most else []
        kept = [one for one in recent if one.cell > pane.cell - self._panes]
        overlaps = len(kept) > self._uncounted
        self._uncounted = self._uncounted + 1 if overlaps else 0
        self._recent = [*kept, pane][-most:] if most else []
        content = merge_windows([one.content for one in (*kept, pane)])
        start = min(one.first for one in (*kept, pane))
        if math.isinf(self._cut.rows):
            start = (pane.cell - most) * self._cut.seconds
        return Window(
            subject=self._subject,
            model=self._model,
            version=self._version,
            start=start,
            end=pane.last,
            rows=content.rows,
            content=content,
            segment=self._segment.name if self._segment else "",
            overlaps=overlaps,
        )

    def _bounded(self, closed: Closing) -> Pane:
        """The pane with its span ``[first, last)``: that of its cell where this began or ended it."""
        pane, seconds = closed.pane, self._cut.seconds
        by_cell = not math.isinf(seconds)
        begins = by_cell and pane.chunk == 0
        return msgspec.structs.replace(
            pane,
            first=pane.cell * seconds if begins else pane.first,
            last=(pane.cell + 1) * seconds
            if not closed.full
            else math.nextafter(pane.last, math.inf),
        )
