"""The journal's upkeep, composed: compaction, retention, and what is remembered of removed segments."""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.errors import Conflict, TrimtabError
from trimtab.log_events import Event
from trimtab.record.compaction import Compacted, compact, forgotten, ready
from trimtab.record.parts import sync_folder
from trimtab.record.retention import Removed, journal_bytes, outdated
from trimtab.telemetry import Metrics
from trimtab.types import Signature
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.giving_way import GivingWay, waited_for_core
from trimtab.wiring.recording import signatures_of

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 30.0


@dataclass(slots=True)
class Upkeep:
    """Compacts and trims a deployment's journal; one process at a time does.

    ``reached`` is told of each point that was passed; where it raises, the work ends and can begin anew.
    ``waited`` tells for how many seconds the thread that does it has waited for a core.
    """

    deployment: Deployment
    metrics: Metrics
    reached: Callable[[str], None] = lambda _point: None
    waited: Callable[[], float] = waited_for_core
    _due: float = 0.0
    _signatures: dict[str, dict[int, Signature]] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        """Do what there is to do until told to stop; the watcher has a thread for it.

        Between two strides of a segment it rests for as long as others want the core.
        """
        way = GivingWay(self.waited)

        def reached(point: str) -> None:
            if point == "read":
                stop.wait(way.rest_seconds())
            if stop.is_set():
                raise _Stopped

        self.reached = reached
        with suppress(_Stopped):
            while not stop.is_set():
                self.step()
                stop.wait(max(0.0, self._due - self.deployment.clock.monotonic()))

    def step(self) -> None:
        """Do one segment's worth if it is time to look.

        What the disk refuses is logged and counted, and tried again.
        """
        config, clock = self.deployment.config.journal, self.deployment.clock
        if clock.monotonic() < self._due:
            return
        try:
            done = self.compact(limit=1) if config.compact else []
            if not done:
                self.trim()
                self._due = clock.monotonic() + PAUSE_SECONDS
        except (OSError, TrimtabError) as failed:
            self.metrics.count("ml_journal_upkeep_failures_total")
            logger.error(  # noqa: TRY400 - the error says all; a trace adds nothing
                Event.JOURNAL_UPKEEP_FAILED, extra={"reason": str(failed)}
            )
            self._due = clock.monotonic() + PAUSE_SECONDS

    def compact(self, limit: int | None = None) -> Sequence[Compacted]:
        """Compact what is ready, oldest first, at most ``limit`` segments.

        Raises:
            Conflict: another process is at it.
            OSError: the disk refuses; nothing is lost.
        """
        done: list[Compacted] = []
        before = self.deployment.clock.now() - self.deployment.config.journal.compact_after_seconds
        with _alone(self._directory):
            for path in ready(self._directory, self._offsets(), before)[:limit]:
                one = compact(path, self._signature, self.reached)
                done.append(one)
                self.metrics.count("ml_journal_compacted_total", one.records)
                logger.info(
                    Event.JOURNAL_COMPACTED,
                    extra={"segment": one.segment, "records": one.records, "parts": one.parts},
                )
            self._forget(forgotten(self._directory, self._offsets()))
            self._measure()
        return done

    def trim(
        self, *, days: float | None = None, size_bytes: int | None = None, force: bool = False
    ) -> Sequence[Removed]:
        """Remove what is older, or more, than is to be kept.

        Args:
            days: Instead of ``retain_days``.
            size_bytes: Instead of ``retain_bytes``.
            force: Also closed segments that the watcher has not read.

        Raises:
            Conflict: another process is at it.
            OSError: the disk refuses.
        """
        config = self.deployment.config.journal
        with _alone(self._directory):
            found = outdated(
                self._directory,
                self._offsets(),
                now=self.deployment.clock.now(),
                days=config.retain_days if days is None else days,
                size_bytes=config.retain_bytes if size_bytes is None else size_bytes,
                force=force,
            )
            for one in found:
                path = Path(one.path)
                path.unlink(missing_ok=True)
                sync_folder(path.parent)
                self.metrics.count(
                    "ml_journal_removed_bytes_total", one.size_bytes, reason=one.reason
                )
                logger.info(Event.JOURNAL_REMOVED, extra={"path": one.path, "reason": one.reason})
            self._forget([Path(one.path).name for one in found])
            self._measure()
        return found

    @property
    def _directory(self) -> Path:
        return self.deployment.journal_dir

    def _offsets(self) -> dict[str, int]:
        with self.deployment.state.reading() as state:
            return dict(state.watch.offsets())

    def _forget(self, segments: Sequence[str]) -> None:
        if segments:
            with self.deployment.state.transaction() as state:
                state.watch.forget_offsets(segments)
            self.reached("forgotten")

    def _measure(self) -> None:
        for kind, size in zip(("segments", "parts"), journal_bytes(self._directory), strict=True):
            self.metrics.gauge("ml_journal_size_bytes", size, kind=kind)

    def _signature(self, model: str, version: int) -> Signature | None:
        if version not in self._signatures.get(model, ()):
            self._signatures[model] = signatures_of(self.deployment, model)
        return self._signatures[model].get(version)


@contextmanager
def kept_up(deployment: Deployment, metrics: Metrics, stop: threading.Event) -> Iterator[None]:
    """Compact and trim the journal in a thread while the block runs; ``stop`` is set behind it."""
    upkeep = Upkeep(deployment, metrics)
    thread = threading.Thread(target=upkeep.run, args=(stop,), name="journal-upkeep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class _Stopped(Exception):
    """The thread is to end."""


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the lock of the journal's upkeep; it goes with the process."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "upkeep.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise Conflict(
                "The journal is being compacted or trimmed by another process.",
                code="upkeep_running",
                hint="A running watcher does both by itself; try again in a moment.",
            ) from held
        yield
