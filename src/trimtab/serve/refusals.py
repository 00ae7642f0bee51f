"""What is refused outside of the data plane: answered in its route's form and counted, in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trimtab.errors import InvalidRequest, NotFound, TrimtabError
from trimtab.serve.reply import Reply, failure, inference_failure

Count = Callable[[str, int], None]
"""Counts a request by its model and status."""

Handler = Callable[[Request, Any], Awaitable[Response]]
_COUNTED = "trimtab.counted"


def refusals(count: Count) -> dict[int | type[Exception], Handler]:
    """How an application answers the errors that its routes raise, and routes that are not there."""

    async def refused(request: Request, error: TrimtabError) -> Response:
        return answered(request, _told(request, error), {})

    async def no_route(request: Request, _: Exception) -> Response:
        error = NotFound(
            f"There is nothing at {request.url.path}.",
            code="no_route",
            hint="The routes are listed in docs/reference/http.md.",
        )
        return answered(request, _told(request, error), {})

    async def no_method(request: Request, error: Exception) -> Response:
        told = InvalidRequest(
            f"{request.method} is not understood at {request.url.path}.",
            code="method_not_allowed",
            hint="See the Allow header.",
        )
        allow = getattr(error, "headers", None) or {}
        return answered(request, Reply(405, _told(request, told).body), allow)

    def answered(request: Request, reply: Reply, headers: dict[str, str]) -> Response:
        count(request.path_params.get("model", ""), reply.status)
        request.scope[_COUNTED] = True
        asking = {"www-authenticate": "Bearer"} if reply.status == 401 else {}
        told = {**dict(reply.headers), **asking, **headers}
        return Response(reply.body, reply.status, told, media_type=reply.content_type)

    return {404: no_route, 405: no_method, TrimtabError: refused}


def _told(request: Request, error: TrimtabError) -> Reply:
    """The reply in the form that clients of this path read."""
    return (inference_failure if request.url.path.startswith("/v2") else failure)(error)


def counting(routes: Sequence[BaseRoute], count: Count) -> list[BaseRoute]:
    """Routes that may answer a refusal by themselves, as pages do: it is counted here."""
    for route in routes:
        if isinstance(route, Route):
            route.app = _counting(route.app, count)
    return list(routes)


def _counting(app: ASGIApp, count: Count) -> ASGIApp:
    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            status = message.get("status", 0)  # of the message that begins an answer
            if status >= 400 and not scope.get(_COUNTED):
                count(scope["path_params"].get("model", ""), status)
            await send(message)

        await app(scope, receive, sent)

    return counted
