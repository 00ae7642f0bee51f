"""One process tree: a supervisor, its workers that share one socket, and the watcher.

Each child holds the reading end of a pipe whose writing end only the supervisor has: when the
supervisor dies, however it dies, the pipe closes and the children stop.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec.structs import replace

from trimtab.config import Config, ServeConfig
from trimtab.errors import Unavailable
from trimtab.log_events import Event
from trimtab.metric_files import count_for_others, forget, reserve
from trimtab.serve.memory import resident_bytes
from trimtab.serve.stopping import Bell, Stop, stop_signal
from trimtab.wiring.crashes import FOLDER, crash_desk

logger = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 10.0
HEALTHY_SECONDS = 10.0
RECYCLE_SECONDS = 5.0
"""A worker that is younger is not replaced for its memory: a limit below what any takes must not spin."""

MEMORY_SECONDS = 1.0
"""How often it is looked what workers take, where that is limited."""

LEAST_SECONDS = 0.05
"""What is due is not looked at more often, as a child that the system takes its time to end."""

WORKER = "trimtab.serve.worker"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Workers share the cores: a thread pool in each of them makes a small prediction slower, not faster."""


class ServerInfo(msgspec.Struct, frozen=True):
    """Where a running server is found; written to ``run/server.json`` in the state directory."""

    pid: int
    host: str
    port: int
    grpc_port: int | None = None

    @property
    def url(self) -> str:
        """The server's address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(slots=True)
class _Child:
    """A child process, how often it had to be replaced lately, and once it has died, when it will be."""

    module: str
    process: subprocess.Popen[bytes]
    ready: threading.Event
    started: float
    failures: int = 0
    due: float | None = None
    successor: _Child | None = None


@dataclass(slots=True)
class Supervisor:
    """Starts, replaces and drains the processes of a server.

    Args:
        config: The whole configuration; children read it from the run directory.
        run_dir: Where the configuration, metrics and server.json of this run stand.
        announce: Called once with the address when all workers are ready.
    """

    config: Config
    run_dir: Path
    announce: Callable[[ServerInfo], None]
    _children: list[_Child] = field(default_factory=list)
    _leaving: list[tuple[_Child, float]] = field(default_factory=list)
    _stop: Stop = field(init=False)
    _bell: Bell = field(default_factory=Bell)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit status.

        Raises:
            Unavailable: the address cannot be bound, or the workers do not become ready.
        """
        with _reserved(self.config.serve) as grpc_port:
            return self._run(grpc_port)

    def _run(self, grpc_port: int | None) -> int:
        metrics_dir = self._prepare(grpc_port)
        listener = _listen(self.config.serve.host, self.config.serve.port)
        alive_read, alive_write = os.pipe()
        self._stop = stop_signal()
        self._bell.at_signals()
        try:
            modules = [WORKER] * self.config.serve.workers
            for module in [*modules, "trimtab.serve.watcher"]:
                self._children.append(self._spawn(module, listener, alive_read, metrics_dir))
            host, port = listener.getsockname()[:2]
            info = ServerInfo(os.getpid(), host, port, grpc_port)
            self._await_ready()
            if not self._stop.is_set():
                (self.run_dir / "server.json").write_bytes(msgspec.json.encode(info))
                self.announce(info)
            while not self._stop.is_set():
                self._replace_dead(listener, alive_read, metrics_dir)
                self._recycle(listener, alive_read, metrics_dir)
                self._bell.wait(self._idle_seconds())
            return 0
        finally:
            self._drain()
            listener.close()
            os.close(alive_read)
            os.close(alive_write)
            (self.run_dir / "server.json").unlink(missing_ok=True)

    def _prepare(self, grpc_port: int | None) -> Path:
        metrics_dir = self.run_dir / "metrics"
        shutil.rmtree(metrics_dir, ignore_errors=True)
        metrics_dir.mkdir(parents=True)
        reserve(0, metrics_dir)
        shutil.rmtree(self.run_dir / FOLDER, ignore_errors=True)
        serve = replace(self.config.serve, grpc_port=grpc_port)
        config = replace(self.config, serve=serve)
        (self.run_dir / "config.json").write_bytes(msgspec.json.encode(config))
        return metrics_dir

    def _spawn(
        self,
        module: str,
        listener: socket.socket,
        alive: int,
        metrics_dir: Path,
        failures: int = 0,
    ) -> _Child:
        """Start a child, in the place of one that died ``failures`` times lately."""
        ready_read, ready_write = os.pipe()
        fds = (listener.fileno(), alive, ready_write)
        process = subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", module, str(self.run_dir), *map(str, fds)],
            pass_fds=fds,
            env={
                **dict.fromkeys(ONE_THREAD, "1"),
                **os.environ,
                "PROMETHEUS_MULTIPROC_DIR": str(metrics_dir),
            },
        )
        os.close(ready_write)
        ready = threading.Event()
        threading.Thread(target=self._listen_ready, args=(ready_read, ready), daemon=True).start()
        logger.info(Event.WORKER_STARTED, extra={"child": module, "child_pid": process.pid})
        return _Child(module, process, ready, time.monotonic(), failures)

    def _listen_ready(self, fd: int, ready: threading.Event) -> None:
        with os.fdopen(fd, "rb") as pipe:
            if pipe.read(1):
                ready.set()
            self._bell.ring()

    def _await_ready(self) -> None:
        """Wait until every child is ready.

        Raises:
            Unavailable: one ended before it was.
        """
        while not self._stop.is_set():
            if all(child.ready.is_set() for child in self._children):
                return
            for child in self._children:
                if child.process.poll() is not None:
                    raise Unavailable(
                        f"{child.module} ended with status {child.process.returncode} "
                        "before it was ready.",
                        hint="The reason stands in the log lines above.",
                    )
            self._bell.wait()

    def _idle_seconds(self) -> float | None:
        """How long there is nothing to do unless a signal comes or a child becomes ready; None if for good.

        The bell rings for those, so that nobody takes a core from a worker to find that nothing has happened.
        """
        now = time.monotonic()
        due = [child.due for child in self._children if child.due is not None]
        due += [until for _, until in self._leaving]
        if self.config.serve.max_worker_bytes:
            due.append(now + MEMORY_SECONDS)
        return max(LEAST_SECONDS, min(due) - now) if due else None

    def _replace_dead(self, listener: socket.socket, alive: int, metrics_dir: Path) -> None:
        for i, child in enumerate(self._children):
            if child.process.poll() is None:
                continue
            if child.due is None:
                child.due = self._note_death(child, metrics_dir)
            if child.successor is not None:
                self._children[i] = child.successor
            elif time.monotonic() >= child.due:
                count_for_others("ml_worker_restarts_total", metrics_dir)
                self._children[i] = self._spawn(
                    child.module, listener, alive, metrics_dir, child.failures
                )

    def _recycle(self, listener: socket.socket, alive: int, metrics_dir: Path) -> None:
        """Put a fresh worker in the place of one that has grown too large, one at a time."""
        self._reap(metrics_dir)
        for i, child in enumerate(self._children):
            if child.successor is not None:
                self._hand_over(i, child, metrics_dir)
                return
        limit = self.config.serve.max_worker_bytes
        if not limit or self._leaving:
            return
        for child in self._children:
            grown = time.monotonic() - child.started > RECYCLE_SECONDS
            if child.module != WORKER or not grown or not child.ready.is_set():
                continue
            taken = resident_bytes(child.process.pid)
            if taken > limit:
                logger.warning(
                    Event.WORKER_RECYCLED,
                    extra={"child_pid": child.process.pid, "resident_bytes": taken},
                )
                child.successor = self._spawn(child.module, listener, alive, metrics_dir)
                return

    def _hand_over(self, place: int, child: _Child, metrics_dir: Path) -> None:
        """Let a successor take over once it is ready; its predecessor drains."""
        successor = child.successor
        if successor is None:
            return
        if successor.process.poll() is not None:
            forget(successor.process.pid, metrics_dir)
            child.successor, child.started = None, time.monotonic()
        elif successor.ready.is_set():
            self._children[place] = successor
            child.process.terminate()
            patience = self.config.serve.drain_seconds + 2.0
            self._leaving.append((child, time.monotonic() + patience))

    def _reap(self, metrics_dir: Path) -> None:
        """Forget those that have drained, and end those that do not."""
        for child, until in tuple(self._leaving):
            if child.process.poll() is not None:
                forget(child.process.pid, metrics_dir)
                self._leaving.remove((child, until))
            elif time.monotonic() > until:
                child.process.kill()

    def _note_death(self, child: _Child, metrics_dir: Path) -> float:
        """When to replace a child that has died: at once, or later if it keeps dying."""
        forget(child.process.pid, metrics_dir)
        crash_desk(self.config, self.run_dir).note(child.process.pid)
        now = time.monotonic()
        lived = now - child.started
        child.failures = 0 if lived > HEALTHY_SECONDS else child.failures + 1
        pause = 0.0
        if child.failures:
            pause = min(FIRST_BACKOFF_SECONDS * 2 ** (child.failures - 1), MAX_BACKOFF_SECONDS)
        logger.error(
            Event.WORKER_DIED,
            extra={
                "child": child.module,
                "child_pid": child.process.pid,
                "status": child.process.returncode,
                "restart_seconds": pause,
            },
        )
        return now + pause

    def _drain(self) -> None:
        """Ask every child to finish, then end those that do not within the time allowed."""
        children = [child for child, _ in self._leaving] + self._children
        children += [child.successor for child in self._children if child.successor is not None]
        for child in children:
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + self.config.serve.drain_seconds + 2.0
        logger.info(Event.SERVER_STOPPING)
        for child in children:
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


@contextmanager
def _reserved(serve: ServeConfig) -> Iterator[int | None]:
    """The port at which each worker listens for gRPC, kept for them, without listening here.

    Raises:
        Unavailable: it cannot be bound.
    """
    if serve.grpc_port is None:
        yield None
        return
    family = socket.AF_INET6 if ":" in serve.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            holder.bind((serve.host, serve.grpc_port))
        except OSError as refused:
            raise _deaf(serve.host, serve.grpc_port, refused, "grpc_port of [serve]") from refused
        yield holder.getsockname()[1]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as refused:
        listener.close()
        raise _deaf(host, port, refused, "port with --port") from refused
    listener.set_inheritable(True)
    return listener


def _deaf(host: str, port: int, refused: OSError, setting: str) -> Unavailable:
    """Why nobody can be heard at an address."""
    told = f"Cannot listen on {host}:{port}: {refused.strerror}."
    if refused.errno == errno.EADDRINUSE:
        hint = f"Choose another {setting}, or 0 for any free one."
        return Unavailable(told, code="address_in_use", hint=hint)
    if refused.errno == errno.EACCES:
        hint = f"Choose another {setting}: those below 1024 are not for every account."
    else:
        hint = "Choose a host with --host that is an address of this machine."
    return Unavailable(told, code="address_unusable", hint=hint)
