"""The server under demonstration: a process tree of its own, as a user would start it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import Unavailable

STOP_SECONDS = 30.0


@dataclass(slots=True)
class Server:
    """``trimtab serve`` on a free loopback port; its log goes to a file."""

    url: str
    log: Path
    _process: subprocess.Popen[str]

    @classmethod
    def start(cls, config: Path, log: Path) -> Server:
        """Start it and wait until its workers are ready.

        Raises:
            Unavailable: it ended before it was ready; the log says why.
        """
        with log.open("w") as sink:
            process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "trimtab.cli", "serve",
                 "--config", str(config), "--port", "0", "--json"],
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )  # fmt: skip
        line = process.stdout.readline() if process.stdout else ""
        if '"url"' not in line:
            process.wait()
            raise Unavailable("The server did not become ready.", hint=f"See {log}.")
        return cls(json.loads(line)["url"], log, process)

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    def stop(self) -> int:
        """Drain and stop; the exit status."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
