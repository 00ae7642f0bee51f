"""serve, watch."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from trimtab.cli.session import Session, command
from trimtab.config import secret
from trimtab.serve.child import log_json
from trimtab.serve.stopping import stop_signal
from trimtab.serve.supervisor import ServerInfo, Supervisor
from trimtab.serve.watcher import WatcherLock
from trimtab.serve.watcher import watch as watch_loop
from trimtab.telemetry import Metrics
from trimtab.wiring.deployment import Deployment


@command()
@click.option("--host", help="Address to listen on; 127.0.0.1 unless set.")
@click.option("--port", type=int, help="Port; 0 takes any free one.")
@click.option("--workers", type=int, help="How many worker processes answer.")
def serve(session: Session, host: str | None, port: int | None, workers: int | None) -> int:
    """Serve all deployed models and watch them, until Ctrl-C or SIGTERM."""
    asked: dict[str, Any] = {"serve.host": host, "serve.port": port, "serve.workers": workers}
    config = session.config({name: value for name, value in asked.items() if value is not None})
    for token in config.auth.tokens:
        secret(token.secret)
    log_json()
    deployment = Deployment.open(config)
    run_dir = deployment.run_dir
    deployment.close()

    def announce(info: ServerInfo) -> None:
        if session.as_json:
            told = {"url": info.url, "pid": info.pid}
            if info.grpc_port is not None:
                told["grpc_port"] = info.grpc_port
            click.echo(msgspec.json.encode(told).decode())
            return
        session.console.print(f"serving at {info.url}  (Ctrl-C stops)")
        if info.grpc_port is not None:
            session.console.print(f"gRPC at {info.host}:{info.grpc_port}")

    return Supervisor(config, run_dir, announce).run()


@command()
def watch(session: Session) -> None:
    """Watch the journal of this state directory without serving, until Ctrl-C.

    Shadow rollouts are answered by `trimtab serve` alone.
    """
    stop = stop_signal()
    log_json()
    with session.deployment() as deployment:
        lock = WatcherLock(deployment.run_dir / "watcher.lock")
        watch_loop(deployment, Metrics(), stop)
        del lock
