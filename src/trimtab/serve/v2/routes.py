"""The protocol's routes: what the server and its models are, and inference."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import trimtab
from trimtab.errors import InvalidRequest, NotFound, TrimtabError
from trimtab.protocols import LiveModel
from trimtab.serve.body import read_body
from trimtab.serve.dataplane import DataPlane
from trimtab.serve.reply import JSON, Reply, inference_failure
from trimtab.serve.v2.reply import TensorInfo, outputs_of
from trimtab.serve.wire import DEADLINE
from trimtab.types import FeatureKind

EXTENSIONS = ("binary_tensor_data", "model_repository", "model_repository(unload_dependents)")
PING = "/models/{model}/ping"
"""What MLflow's clients ask before they send rows."""
HEADER_LENGTH = "inference-header-content-length"
_DATATYPE = {
    FeatureKind.NUMERIC: "FP64",
    FeatureKind.INTEGER: "INT64",
    FeatureKind.BOOLEAN: "BOOL",
    FeatureKind.CATEGORICAL: "BYTES",
}
_encode = msgspec.json.Encoder().encode

Live = Callable[[str], LiveModel]
Describe = Callable[[LiveModel, int | None], Any]


class ServerMetadata(msgspec.Struct, frozen=True):
    """What this server is."""

    name: str
    version: str
    extensions: tuple[str, ...]


class ModelMetadata(msgspec.Struct, frozen=True):
    """What a model takes and answers."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


class ModelReady(msgspec.Struct, frozen=True):
    """Whether a model may be asked."""

    name: str
    ready: bool


def inference_routes(data_plane: DataPlane, live: Live, max_body_bytes: int) -> list[Route]:
    """The routes.

    Args:
        data_plane: Answers and counts.
        live: A live model by its name; raises NotFound.
        max_body_bytes: A larger body is refused before it is read whole.
    """

    async def server(_: Request) -> Response:
        about = ServerMetadata("trimtab", trimtab.__version__, EXTENSIONS)
        return Response(_encode(about), media_type=JSON)

    def told(describe: Describe) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            model = live(request.path_params["model"])
            return Response(_encode(describe(model, _version(request, model))), media_type=JSON)

        return endpoint

    async def infer(request: Request) -> Response:
        model = request.path_params["model"]
        try:
            length = _header_length(request)
            version = _version(request, live(model))
            body = await read_body(request, max_body_bytes)
        except TrimtabError as error:
            return _response(data_plane.refuse(model, error, inference_failure))
        media = request.headers.get("content-type", "")
        deadline = request.headers.get(DEADLINE, "")
        return _response(await data_plane.infer(model, body, media, version, length, deadline))

    ready = told(lambda model, _: ModelReady(model.route.model, True))
    routes = [Route("/v2", server), Route(PING, ready)]
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(base, told(metadata)),
            Route(f"{base}/ready", ready),
            Route(f"{base}/infer", infer, methods=["POST"]),
        ]
    return routes


def metadata(model: LiveModel, version: int | None) -> ModelMetadata:
    """What a model, or a live version of it, takes and answers."""
    arms = [arm for arm in model.arms if arm is not None]
    told = next((arm for arm in arms if arm.version == version), model.champion)
    return ModelMetadata(
        name=model.route.model,
        versions=tuple(str(arm.version) for arm in arms),
        platform="trimtab",
        inputs=tuple(
            TensorInfo(spec.name, _DATATYPE[spec.kind], (-1,)) for spec in told.signature.features
        ),
        outputs=outputs_of(told.signature),
    )


def _version(request: Request, model: LiveModel) -> int | None:
    return live_version(model, request.path_params.get("version", ""))


def live_version(model: LiveModel, named: str) -> int | None:
    """The version of that number, if it is live; None where none is named.

    Raises:
        NotFound: it is not.
    """
    if not named:
        return None
    live = {str(arm.version): arm.version for arm in model.arms if arm is not None}
    if named not in live:
        raise NotFound(
            f"Version {named[:20]!r} of {model.route.model!r} is not live.",
            code="version_not_live",
            hint=f"Live: {', '.join(live)}.",
        )
    return live[named]


def _header_length(request: Request) -> int | None:
    sent = request.headers.get(HEADER_LENGTH)
    if sent is None:
        return None
    if not (sent.isascii() and sent.isdecimal()) or len(sent) > 12:
        raise InvalidRequest(
            f"The header Inference-Header-Content-Length is {sent[:40]!r}, which is no length.",
            code="invalid_tensor",
        )
    return int(sent)


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, dict(reply.headers), media_type=reply.content_type)
