"""The shadow process: a candidate answers beside the champion, apart from all that callers wait for."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import Unavailable
from trimtab.log_events import Event
from trimtab.record.reader import SegmentReader
from trimtab.serve.calm import be_as_usual
from trimtab.serve.child import Child, run
from trimtab.serve.memory import resident_bytes
from trimtab.telemetry import Metrics
from trimtab.wiring.crashes import CrashDesk, CrashNotes
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.recording import open_writer
from trimtab.wiring.shadowing import BATCH_ROWS, Shadowing

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.05
NICE = 5
FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 10.0


@dataclass(slots=True)
class ShadowKeeper:
    """Runs the shadow process while some route asks for it, and starts it again when it dies.

    The process stops with its keeper: it holds the reading end of a pipe of which only the keeper has
    the other.
    """

    run_dir: Path
    desk: CrashDesk
    _process: subprocess.Popen[bytes] | None = None
    _alive: int = -1
    _deaths: int = 0
    _due: float = 0.0

    def keep(self, *, wanted: bool) -> None:
        """Start or stop it, as it is wanted; to be called again and again."""
        if not wanted:
            self.stop()
            return
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._died(self._process)
        if time.monotonic() >= self._due:
            self._start()

    def stop(self) -> None:
        """End the process, if there is one."""
        process, self._process, self._deaths, self._due = self._process, None, 0, 0.0
        if process is not None:
            process.terminate()
            process.wait()
            os.close(self._alive)

    def _died(self, process: subprocess.Popen[bytes]) -> None:
        os.close(self._alive)
        self._process = None
        self.desk.note(process.pid)
        pause = min(FIRST_BACKOFF_SECONDS * 2**self._deaths, MAX_BACKOFF_SECONDS)
        self._deaths += 1
        self._due = time.monotonic() + pause
        logger.error(
            Event.WORKER_DIED,
            extra={
                "child": "trimtab.serve.shadow",
                "child_pid": process.pid,
                "status": process.returncode,
                "restart_seconds": pause,
            },
        )

    def _start(self) -> None:
        alive, self._alive = os.pipe()
        fds = (-1, alive, -1)
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "trimtab.serve.shadow", str(self.run_dir), *map(str, fds)],
            pass_fds=(alive,),
        )
        os.close(alive)
        logger.info(
            Event.WORKER_STARTED,
            extra={"child": "trimtab.serve.shadow", "child_pid": self._process.pid},
        )


def serve(child: Child, metrics: Metrics) -> None:
    """Score until told to stop."""
    stop = child.told_to_stop()
    be_as_usual()
    os.nice(NICE)  # workers come first
    deployment = Deployment.open(child.config)
    writer = open_writer(deployment, metrics)
    reader = SegmentReader(deployment.journal_dir, metrics)
    crashes = CrashNotes(child.run_dir)
    shadowing = Shadowing(deployment, reader, writer, metrics, crashes)
    show_memory = metrics.setter("ml_worker_resident_bytes")
    try:
        while not stop.is_set():
            show_memory(resident_bytes(os.getpid()))
            try:
                read = shadowing.step()
            except Unavailable as error:
                logger.warning(Event.TICK_FAILED, extra={"reason": str(error)})
                read = 0
            if read < BATCH_ROWS:
                stop.wait(POLL_SECONDS)
    finally:
        writer.close()
        deployment.close()


if __name__ == "__main__":
    run(serve)
