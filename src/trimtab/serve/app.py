"""The ASGI application: the data plane, health, metrics, the control plane and the dashboard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trimtab.errors import TrimtabError
from trimtab.serve.body import read_body
from trimtab.serve.dataplane import DataPlane
from trimtab.serve.refusals import refusals
from trimtab.serve.reply import JSON, Reply
from trimtab.serve.wire import DEADLINE
from trimtab.telemetry import CONTENT_TYPE_LATEST, OPEN_METRICS

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]
Handler = Callable[[str, bytes, str, str], Awaitable[Reply]]


def build_app(
    *,
    data_plane: DataPlane,
    ready: Callable[[], bool],
    metrics: Callable[[], bytes],
    routes: Sequence[BaseRoute],
    max_body_bytes: int,
    lifespan: Lifespan,
    settle: Callable[[], None] = lambda: None,
    exemplars: Callable[[], bytes] | None = None,
) -> Starlette:
    """Put the routes together.

    Args:
        data_plane: Predictions and outcomes; it counts what is refused anywhere.
        ready: Whether this worker may take traffic.
        metrics: The text for Prometheus.
        routes: The control plane's and the dashboard's.
        max_body_bytes: A larger body is refused before it is read whole.
        lifespan: Opens and drains what the worker holds.
        settle: Called before a scrape: this worker's values that were put off are counted.
        exemplars: The text as OpenMetrics, with exemplars, for those who ask for this format; None for nobody.
    """

    def posted(handle: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            model = request.path_params["model"]
            try:
                body = await read_body(request, max_body_bytes)
            except TrimtabError as error:
                return _response(data_plane.refuse(model, error))
            media = request.headers.get("content-type", "")
            deadline = request.headers.get(DEADLINE, "")
            return _response(await handle(model, body, media, deadline))

        return endpoint

    async def live(_: Request) -> Response:
        return Response(b'{"live":true}', media_type=JSON)

    async def is_ready(_: Request) -> Response:
        if ready():
            return Response(b'{"ready":true}', media_type=JSON)
        return Response(b'{"ready":false}', status_code=503, media_type=JSON)

    async def scrape(request: Request) -> Response:
        settle()
        media = OPEN_METRICS.partition(";")[0]
        if exemplars is not None and media in request.headers.get("accept", ""):
            return Response(await run_in_threadpool(exemplars), media_type=OPEN_METRICS)
        return Response(await run_in_threadpool(metrics), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/models/{model}/predict", posted(data_plane.predict), methods=["POST"]),
            Route("/models/{model}/features", posted(data_plane.features), methods=["POST"]),
            Route("/models/{model}/invocations", posted(data_plane.invocations), methods=["POST"]),
            Route("/models/{model}/outcomes", posted(data_plane.outcomes), methods=["POST"]),
            Route("/v2/health/live", live),
            Route("/v2/health/ready", is_ready),
            Route("/metrics", scrape),
            *routes,
        ],
        exception_handlers=refusals(data_plane.answered),
        lifespan=lifespan,
    )


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, dict(reply.headers), media_type=reply.content_type)
