"""Candidates that end the process they run in: who did it, and who gets no more rows.

A worker notes what it runs of a candidate; the supervisor, when it finds the worker dead, journals what
was noted as that candidate's failure (``process_exit``) and counts it. A version that has ended
``MAX_DEATHS`` processes, or one while it was being loaded, is not run again until the server starts anew:
the champion answers in its place, each time a failure of the candidate, so its guardrail rolls it back.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from trimtab.config import Config, JournalConfig
from trimtab.log_events import Event
from trimtab.protocols import Clock, Predictor
from trimtab.record.journal import Journal
from trimtab.record.unfinished import Unfinished, left_behind
from trimtab.rollout.epoch import MmapEpoch
from trimtab.telemetry import Metrics
from trimtab.types import PROCESS_EXIT, Columns, FloatArray, PredictionRecord, Route
from trimtab.wiring.clock import SystemClock

logger = logging.getLogger(__name__)

MAX_DEATHS = 3
FOLDER = "executing"
_DEATHS, _COUNT = "deaths.json", "deaths"

Deaths = dict[str, int]
"""Processes ended, by ``model/version``."""


class CrashNotes:
    """What one process runs of candidates; a :class:`~trimtab.protocols.CrashBoard`.

    Args:
        run_dir: Where the processes of a server meet.
    """

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / FOLDER
        self._unfinished = Unfinished(self._folder / str(os.getpid()))
        self._count = MmapEpoch(self._folder / _COUNT)
        self._seen = 0
        self._deaths: Deaths = {}

    def blocked(self, model: str, version: int) -> bool:
        """Whether a version has ended too many processes; one comparison where none has died."""
        seen = self._count.read()
        if seen != self._seen:
            self._deaths, self._seen = _read(self._folder / _DEATHS), seen
        return self._deaths.get(f"{model}/{version}", 0) >= MAX_DEATHS

    def noted(self, predictor: Predictor, record: PredictionRecord) -> Predictor:
        """The predictor, which leaves the record behind should it end the process."""
        return _Noted(predictor, record, self._unfinished)

    @contextmanager
    def loading(self, route: Route, version: int) -> Iterator[None]:
        """While a candidate is opened and warmed up."""
        slot = self._unfinished.begin(_loading(route, version))
        try:
            yield
        finally:
            self._unfinished.end(slot)


class CrashDesk:
    """Finds out what dead processes were doing.

    Args:
        run_dir: Where the processes of a server meet.
        journal_dir: Where what was found is recorded.
        config: The journal's settings.
        clock: When it was found.
    """

    def __init__(
        self, run_dir: Path, journal_dir: Path, config: JournalConfig, clock: Clock
    ) -> None:
        self._folder = run_dir / FOLDER
        self._journal_dir = journal_dir
        self._config = config
        self._clock = clock

    def note(self, pid: int) -> list[PredictionRecord]:
        """Journal and count what a dead process left behind; idempotent."""
        path = self._folder / str(pid)
        found = left_behind(path)
        path.unlink(missing_ok=True)
        if not found:
            return []
        now = self._clock.now()
        records = [msgspec.structs.replace(record, wall_time=now) for record in found]
        self._count(records)
        journal = Journal(self._journal_dir, self._config, Metrics(), self._clock)
        journal.append(records)
        journal.close()
        for record in records:
            logger.error(
                Event.CANDIDATE_FAILED,
                extra={"model": record.model, "version": record.version, "reason": PROCESS_EXIT},
            )
        return records

    def _count(self, records: list[PredictionRecord]) -> None:
        """Count one death a version; other desks may count at the same time."""
        path = self._folder / _DEATHS
        cell = MmapEpoch(self._folder / _COUNT)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            deaths = _read(path)
            for name, weight in {
                f"{r.model}/{r.version}": 1 if r.unit else MAX_DEATHS for r in records
            }.items():
                deaths[name] = deaths.get(name, 0) + weight
            path.write_bytes(msgspec.json.encode(deaths))
            cell.publish(cell.read() + 1)
        cell.close()


def crash_desk(config: Config, run_dir: Path) -> CrashDesk:
    """The desk of a server."""
    folder = Path(config.state.dir).resolve() / "journal"
    return CrashDesk(run_dir, folder, config.journal, SystemClock())


class _Noted:
    """A predictor that leaves a record behind."""

    __slots__ = ("_predictor", "_record", "_unfinished")

    def __init__(
        self, predictor: Predictor, record: PredictionRecord, unfinished: Unfinished
    ) -> None:
        self._predictor = predictor
        self._record = record
        self._unfinished = unfinished

    def predict(self, columns: Columns) -> FloatArray:
        slot = self._unfinished.begin(self._record)
        try:
            return self._predictor.predict(columns)
        finally:
            self._unfinished.end(slot)


def _read(path: Path) -> Deaths:
    data = path.read_bytes() if path.is_file() else b""
    return msgspec.json.decode(data, type=Deaths) if data else {}


def _loading(route: Route, version: int) -> PredictionRecord:
    """Of no unit: nobody was being answered."""
    arm = next((i for i, each in enumerate(route.arms) if each.version == version), 0)
    return PredictionRecord(
        prediction_id=f"load/{route.model}/{version}", request_id=None, event_time=0.0,
        wall_time=0.0, model=route.model, version=version, digest="", epoch=route.epoch,
        rollout=route.rollout, arm=arm, share=0.0, unit="", sticky=False, values=(), sources="",
        ages_seconds=(), score=math.nan, outputs=(), positive=None, latency_ms=0.0,
        failed=PROCESS_EXIT, shadow=True,
    )  # fmt: skip
