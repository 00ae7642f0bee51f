"""The OpenAPI 3.1 document, made from what this worker serves: its routes and its models' signatures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import trimtab
from trimtab.protocols import LiveModel
from trimtab.serve.control import ChangeBody
from trimtab.serve.dataplane import ARROW, OutcomesAnswer
from trimtab.serve.features import PushBody
from trimtab.serve.invocations import CSV, InvocationBody, Predictions
from trimtab.serve.reply import JSON
from trimtab.serve.status import ErrorBody, InferenceErrorBody
from trimtab.serve.v2.reply import BINARY
from trimtab.serve.v2.repository import IndexBody, IndexEntry, RepositoryBody
from trimtab.serve.v2.request import InferBody
from trimtab.serve.v2.routes import HEADER_LENGTH, PING, ModelMetadata, ModelReady, ServerMetadata
from trimtab.serve.wire import DEADLINE, OutcomesBody, PredictBody
from trimtab.types import FeatureKind, FeaturesAnswer, FeatureSpec, PredictAnswer

_encode = msgspec.json.Encoder().encode
_REF = "#/components/schemas/{name}"
_PREDICT, _FEATURES = "/models/{model}/predict", "/models/{model}/features"
_INVOCATIONS = "/models/{model}/invocations"
_INFER = "/v2/models/{model}/infer"
_INFER_VERSION = "/v2/models/{model}/versions/{version}/infer"
_TAKES: dict[str, Any] = {
    _PREDICT: PredictBody,
    _FEATURES: PredictBody,
    _INVOCATIONS: InvocationBody,
    "/models/{model}/outcomes": OutcomesBody,
    _INFER: InferBody,
    _INFER_VERSION: InferBody,
    "/v2/repository/index": IndexBody,
    "/v2/repository/models/{model}/load": RepositoryBody,
    "/v2/repository/models/{model}/unload": RepositoryBody,
    "/api/v1/features/{view}": PushBody,
}
_ANSWERS: dict[str, Any] = {
    _PREDICT: PredictAnswer,
    _FEATURES: FeaturesAnswer,
    _INVOCATIONS: Predictions,
    "/models/{model}/outcomes": OutcomesAnswer,
    PING: ModelReady,
    "/v2": ServerMetadata,
    "/v2/models/{model}": ModelMetadata,
    "/v2/models/{model}/versions/{version}": ModelMetadata,
    "/v2/models/{model}/ready": ModelReady,
    "/v2/models/{model}/versions/{version}/ready": ModelReady,
}
_TAKES_ALSO = {_PREDICT: ARROW, _INVOCATIONS: CSV, _INFER: BINARY, _INFER_VERSION: BINARY}
_ANSWERS_ALSO = {_PREDICT: ARROW, _INFER: BINARY, _INFER_VERSION: BINARY}
"""Beside JSON."""
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_WITH_DEADLINE = frozenset({_PREDICT, _FEATURES, _INVOCATIONS, _INFER, _INFER_VERSION})
_HEADERS = {
    DEADLINE: {
        "description": "How long the client waits, in milliseconds.",
        "schema": {"type": "integer", "minimum": 1},
    },
    HEADER_LENGTH: {
        "description": "How many bytes of the body are JSON, where tensors follow it as bytes.",
        "schema": {"type": "integer", "minimum": 0},
    },
}
_TYPES = (
    *{*_TAKES.values(), *_ANSWERS.values()},
    IndexEntry,
    ChangeBody,
    ErrorBody,
    InferenceErrorBody,
)
_VALUE = {
    FeatureKind.NUMERIC: "number",
    FeatureKind.INTEGER: "integer",
    FeatureKind.BOOLEAN: "boolean",
    FeatureKind.CATEGORICAL: "string",
}


def openapi_route(models: Callable[[], Sequence[LiveModel]]) -> Route:
    """``GET /openapi.json``: the application's routes, and a path of its own for each live model.

    Args:
        models: What is live now.
    """

    async def endpoint(request: Request) -> Response:
        return Response(_encode(document(request.app.routes, models())), media_type=JSON)

    return Route("/openapi.json", endpoint)


def document(routes: Iterable[BaseRoute], models: Iterable[LiveModel]) -> dict[str, Any]:
    """The document.

    Args:
        routes: Of the application; the dashboard's pages are left out.
        models: Whose features are described by name and type.
    """
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template=_REF)
    paths: dict[str, Any] = {}
    for route in routes:
        if isinstance(route, Route) and _is_api(route.path):
            method = "post" if "POST" in (route.methods or ()) else "get"
            paths.setdefault(route.path, {})[method] = _operation(route.path, method)
    for model in models:
        name = model.route.model
        schemas[f"Rows_of_{name}"] = _rows(model)
        paths[f"/models/{name}/predict"] = {"post": _predict(name)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trimtab",
            "version": trimtab.__version__,
            "description": "Predictions, outcomes and the control of their models.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _is_api(path: str) -> bool:
    api = path.startswith(("/api/", "/v2", "/metrics"))
    return api or path in _TAKES or path in _ANSWERS


def _operation(path: str, method: str) -> dict[str, Any]:
    named = re.findall(r"\{(\w+)\}", path)
    error = InferenceErrorBody if path.startswith("/v2") else ErrorBody
    answer = _ANSWERS.get(path)
    media = "text/plain" if path == "/metrics" else JSON
    found: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method}{path}").strip("_"),
        "responses": {
            "200": {"description": "The answer.", "content": {media: {"schema": _schema(answer)}}},
            "default": {
                "description": "Why there is none.",
                "content": {JSON: {"schema": _schema(error)}},
            },
        },
    }
    if method == "post":
        body = _TAKES.get(path, ChangeBody)
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": _schema(body)}}}
    if path in _TAKES_ALSO:
        found["requestBody"]["content"][_TAKES_ALSO[path]] = _BYTES
    if path in _ANSWERS_ALSO:
        found["responses"]["200"]["content"][_ANSWERS_ALSO[path]] = _BYTES
    headers = [DEADLINE] * (path in _WITH_DEADLINE)
    if _TAKES_ALSO.get(path) == BINARY:
        headers.append(HEADER_LENGTH)
        found["responses"]["200"]["headers"] = {HEADER_LENGTH: _HEADERS[HEADER_LENGTH]}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in named
    ]
    parameters += [{"name": name, "in": "header", **_HEADERS[name]} for name in headers]
    if parameters:
        found["parameters"] = parameters
    if method == "post" and path.startswith(("/api/", "/v2/repository/models/")):
        found["security"] = [{"token": []}]
    return found


def _schema(kind: Any) -> dict[str, Any]:
    return {} if kind is None else {"$ref": _REF.format(name=kind.__name__)}


def _predict(name: str) -> dict[str, Any]:
    """The route of one model, whose rows have names and types."""
    found = _operation(_PREDICT, "post")
    found["parameters"] = [each for each in found["parameters"] if each["in"] != "path"]
    found["operationId"] = re.sub(r"\W+", "_", f"predict_{name}")
    rows = _REF.format(name=f"Rows_of_{name}")
    found["requestBody"]["content"][JSON]["schema"] = {"$ref": rows}
    return found


def _rows(model: LiveModel) -> dict[str, Any]:
    """One row, many or columns, with the features of the champion's signature."""
    features: dict[str, Any] = {
        "type": "object",
        "properties": {
            feature.name: _feature(feature) for feature in model.champion.signature.features
        },
    }
    beside = {
        "key": {"type": "string", "minLength": 1, "maxLength": 512},
        "prediction_id": {"type": "string", "minLength": 1, "maxLength": 128},
        "event_time": {"type": ["number", "string"]},
    }
    row = {
        "type": "object",
        "required": ["features"],
        "properties": {"features": features, **beside},
    }
    many = {
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": {"type": "array", "items": row, "minItems": 1}},
    }
    columns = {
        name: {"type": "array", "items": schema} for name, schema in features["properties"].items()
    }
    across = {
        "type": "object",
        "required": ["columns"],
        "properties": {"columns": {"type": "object", "properties": columns}},
    }
    return {"oneOf": [row, many, across]}


def _feature(feature: FeatureSpec) -> dict[str, Any]:
    """A feature's value; any may be null where a feature view or the model fills it."""
    found: dict[str, Any] = {"type": [_VALUE[feature.kind], "null"]}
    if feature.unit:
        found["description"] = f"In {feature.unit}."
    return found
