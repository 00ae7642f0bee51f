"""A worker process: one event loop that answers requests where they arrive."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette

from trimtab.config import ModelConfig, ServeConfig
from trimtab.errors import InvalidConfig
from trimtab.metric_files import exposition
from trimtab.record.latest import latest
from trimtab.serve.app import build_app
from trimtab.serve.child import FAILED_STATUS, Child, run
from trimtab.serve.connections import Connections
from trimtab.serve.control import control_routes
from trimtab.serve.dataplane import DataPlane
from trimtab.serve.explorer import explorer_route
from trimtab.serve.features import FeatureDesk
from trimtab.serve.lane.protocol import lane
from trimtab.serve.line import Line
from trimtab.serve.memory import resident_bytes
from trimtab.serve.meters import Tally
from trimtab.serve.openapi import openapi_route
from trimtab.serve.overload import Turnstile
from trimtab.serve.refusals import counting
from trimtab.serve.turns import MOST_WAITING, Turns
from trimtab.serve.v2.repository import Repository, repository_routes
from trimtab.serve.v2.routes import inference_routes
from trimtab.telemetry import Metrics
from trimtab.ui.pages import page_routes
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import Serving

MEMORY_SECONDS = 5.0
OTHER_FILES = 100
"""Room for what a worker has open beside its connections."""


def build(
    child: Child, metrics: Metrics, turns: Turns, turnstile: Turnstile, tally: Tally
) -> tuple[Starlette, DataPlane]:
    """The application of one worker, opened and drained by its lifespan, and its data plane."""
    deployment = Deployment.open(child.config)
    serving = Serving.open(
        deployment, metrics, turn=turns if child.config.serve.http == "lane" else None
    )

    desk = FeatureDesk(deployment, metrics)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        edge = None
        try:
            await asyncio.to_thread(serving.start)
            _tell_memory(metrics.setter("ml_worker_resident_bytes"))
            _freeze()
            edge = await _rpc(data_plane, repository, serving, child.config.serve)
            child.say_ready()
            yield
        finally:
            if edge is not None:
                await edge.stop(child.config.serve.drain_seconds)
            await serving.close()
            await desk.close()
            tally.settle()
            deployment.close()

    def promised(model: str) -> float:
        return child.config.models.get(model, ModelConfig()).availability_target

    def exemplars() -> bytes:
        return scraped(answers=latest(deployment.journal_dir))

    scraped = partial(exposition, metrics.registry, child.metrics_dir, promised)
    repository = Repository(deployment, serving.board.models, serving.board.refresh)
    max_body_bytes = child.config.serve.max_body_bytes
    data_plane = DataPlane(
        flow=serving.flow,
        live=serving.board.live,
        outcomes=serving.outcomes,
        config=child.config.serve,
        clock=deployment.clock,
        metrics=metrics,
        turnstile=turnstile,
        known=serving.board.knows,
        in_thread=asyncio.to_thread,
    )
    app = build_app(
        data_plane=data_plane,
        ready=serving.ready,
        metrics=scraped,
        routes=[
            *inference_routes(data_plane, serving.board.live, max_body_bytes),
            *repository_routes(repository, max_body_bytes),
            openapi_route(serving.board.models),
            explorer_route(serving.board.models),
            *control_routes(deployment),
            *desk.routes,
            *counting(page_routes(deployment), data_plane.answered),
        ],
        max_body_bytes=max_body_bytes,
        lifespan=lifespan,
        settle=tally.settle,
        exemplars=exemplars if child.config.serve.exemplars else None,
    )
    return app, data_plane


def _tell_memory(show: Callable[[float], None]) -> None:
    """Show this worker's memory now and every few seconds."""
    show(resident_bytes(os.getpid()))
    _later(MEMORY_SECONDS, partial(_tell_memory, show))


def _freeze() -> None:
    """Take all that was loaded out of the garbage collector's sight: a pass over it stops the loop for 0.1 s."""
    gc.collect()
    gc.freeze()


def make_room(files: int) -> None:
    """Have room for so many open files from the start, as far as the limit allows.

    The kernel doubles the table in which they stand as connections come, and then a process with threads waits for all cores: for
    ten milliseconds and more, in which nobody is answered.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, min(files, soft - 1)))


def _later(seconds: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, call)


async def _rpc(
    data_plane: DataPlane, repository: Repository, serving: Serving, config: ServeConfig
) -> Any:
    """The gRPC server, if a port is configured for it; what it needs is an extra.

    Raises:
        InvalidConfig: the extra is not installed.
    """
    if config.grpc_port is None:
        return None
    try:
        from trimtab.serve.rpc import edge
    except ImportError as absent:
        raise InvalidConfig(
            f"grpc_port is set, but {absent.name} is not installed.",
            hint="pip install 'trimtab[grpc]', or take grpc_port out of [serve].",
            path="serve.grpc_port",
        ) from absent
    service = edge.Service(
        data_plane, repository, serving.board.live, serving.ready, config.max_rows
    )
    return await edge.open_edge(service, config)


def serve(child: Child, metrics: Metrics) -> None:
    """Run until the supervisor says stop or is gone."""
    config = child.config.serve
    make_room(config.max_connections + OTHER_FILES)
    most = min(MOST_WAITING, config.max_in_flight)
    turns, tally = Turns(most), Tally(_later)
    metrics.gather(tally.soon)
    turnstile = Turnstile(config, time.monotonic, metrics, turns.soon, tally.soon)
    app, data_plane = build(child, metrics, turns, turnstile, tally)
    connections = Connections(config, time.monotonic, metrics, _later)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=lane(
                data_plane,
                config.max_body_bytes,
                connections,
                turns,
                Line(turnstile, turns, most),
                taken=config.http == "lane",
            ),
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=int(config.drain_seconds),
            server_header=False,
        )
    )

    def stop() -> None:
        server.should_exit = True

    child.on_orphaned(stop)
    server.run(sockets=[socket.socket(fileno=child.listener_fd)])
    if not server.started:
        sys.exit(FAILED_STATUS)


if __name__ == "__main__":
    run(serve)
