"""What every child of the supervisor does: read its configuration, say ready, stop when orphaned."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from trimtab.config import Config
from trimtab.errors import TrimtabError
from trimtab.log_events import Event
from trimtab.metric_files import reserve
from trimtab.serve.memory import resident_bytes
from trimtab.serve.sparing import Sparing
from trimtab.serve.stopping import Stop, stop_signal
from trimtab.telemetry import Metrics, know_process

logger = logging.getLogger(__name__)

FAILED_STATUS = 3


@dataclass(frozen=True, slots=True)
class Child:
    """A child's arguments, decoded."""

    config: Config
    run_dir: Path
    listener_fd: int
    alive_fd: int
    ready_fd: int

    @property
    def metrics_dir(self) -> Path:
        """Where the processes of this server keep their metrics."""
        return self.run_dir / "metrics"

    def say_ready(self) -> None:
        """Tell the supervisor that this child works."""
        os.write(self.ready_fd, b"1")
        os.close(self.ready_fd)

    def on_orphaned(self, stop: Callable[[], None]) -> None:
        """Call ``stop`` from a thread when the supervisor is gone."""

        def watch() -> None:
            os.read(self.alive_fd, 1)
            stop()

        threading.Thread(target=watch, daemon=True, name="orphan-watch").start()

    def told_to_stop(self) -> Stop:
        """Set when somebody says stop or the supervisor is gone."""
        stop = stop_signal()
        self.on_orphaned(stop.set)
        return stop


def run(body: Callable[[Child, Metrics], None]) -> None:
    """Run a child's body with the process's arguments; an error ends it with one clear log line."""
    try:
        body(*from_arguments(sys.argv[1:]))
    except TrimtabError as error:
        logger.error(  # noqa: TRY400 - the error says all; a trace adds nothing
            Event.PROCESS_FAILED, extra={"code": error.code, "reason": str(error)}
        )
        sys.exit(FAILED_STATUS)


def from_arguments(arguments: list[str]) -> tuple[Child, Metrics]:
    """Decode what the supervisor passed, and set up logging and metrics.

    Raises:
        Unavailable: there is no room for metrics.
    """
    run_dir = Path(arguments[0])
    listener, alive, ready = map(int, arguments[1:])
    config = msgspec.json.decode((run_dir / "config.json").read_bytes(), type=Config)
    log_json()
    know_process()
    child = Child(config, run_dir, listener, alive, ready)
    reserve(os.getpid(), child.metrics_dir)
    metrics = Metrics()
    metrics.gauge("ml_worker_resident_bytes", resident_bytes(os.getpid()))
    return child, metrics


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event and what came with it."""

    _standard = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
    _standard |= {"color_message"}  # uvicorn's, for terminals

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
        }
        line |= {k: str(v) for k, v in record.__dict__.items() if k not in self._standard}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def log_json() -> None:
    """Log JSON lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    handler.addFilter(Sparing())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in ("alembic", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
