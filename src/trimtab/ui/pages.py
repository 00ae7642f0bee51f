"""The dashboard's pages: what is read at the moment of the request, and nothing kept."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trimtab.config import ModelConfig
from trimtab.errors import NotFound, TrimtabError, Unavailable
from trimtab.report.charts import Point
from trimtab.report.findings import DATA_DRIFT, champion_line, score_lines
from trimtab.report.rendering import STYLE, environment
from trimtab.report.stakeholder import render_report
from trimtab.report.view import ModelView, model_view
from trimtab.ui.data import model_data
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.overview import ModelOverview, overview

_TEMPLATES = environment("trimtab.ui")
_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
_INDEX_VERDICTS = 300

Page = Callable[[Request], Response]


def page_routes(deployment: Deployment) -> list[BaseRoute]:
    """The pages of a deployment, its style sheet, and each model's page as JSON.

    The endpoints are plain functions: Starlette runs them in threads, so that no page holds up
    predictions.
    """
    pages = _Pages(deployment)
    return [
        Route("/", _guarded(pages.index)),
        Route("/static/trimtab.css", _style),
        Route("/models/{model}.json", _guarded(pages.data)),
        Route("/models/{model}/report", _guarded(pages.report)),
        Route("/models/{model}", _guarded(pages.model)),
    ]


class _Pages:
    """One method a page."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def index(self, request: Request) -> Response:
        watch = self._deployment.config.watch
        with self._deployment.state.reading() as state:
            found = [
                overview(state, model, verdict_limit=_INDEX_VERDICTS)
                for model in state.registry.models()
            ]
        cards = [
            (model_view(one, self._config(one.model), watch), _drift_trend(one)) for one in found
        ]
        return _html(request, "index.html", cards=cards, watch=watch)

    def model(self, request: Request) -> Response:
        found = self._read(request)
        config, watch = self._config(found.model), self._deployment.config.watch
        view: ModelView = model_view(found, config, watch)
        return _html(request, "model.html", view=view, config=config, watch=watch)

    def report(self, request: Request) -> Response:
        found = self._read(request)
        text = render_report(
            found,
            config=self._config(found.model),
            now=self._deployment.clock.now(),
            watch=self._deployment.config.watch,
        )
        return _answer(text, style=f"'sha256-{_STYLE_HASH}'")

    def data(self, request: Request) -> Response:
        return _json(model_data(self._read(request)))

    def _read(self, request: Request) -> ModelOverview:
        with self._deployment.state.reading() as state:
            return overview(state, request.path_params["model"])

    def _config(self, model: str) -> ModelConfig:
        return self._deployment.config.models.get(model, ModelConfig())


def _drift_trend(found: ModelOverview) -> Sequence[Point]:
    return champion_line(score_lines(found, DATA_DRIFT))


def _guarded(page: Page) -> Page:
    """The page, or one that says what is wrong and what to do next."""

    def endpoint(request: Request) -> Response:
        try:
            return page(request)
        except NotFound as missing:
            return _trouble(request, missing, 404)
        except Unavailable as broken:
            return _trouble(request, broken, 503)

    return endpoint


def _trouble(request: Request, error: TrimtabError, status: int) -> Response:
    if request.url.path.endswith(".json"):
        detail = {"code": error.code, "message": error.message, "hint": error.hint}
        return _json({"error": detail}, status)
    return _html(request, "trouble.html", status=status, error=error)


def _html(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    live = status == 200 and request.query_params.get("refresh") != "off"
    text = _TEMPLATES.get_template(template).render(
        live=live, path=request.url.path, status=status, **values
    )
    return _answer(text, status=status)


def _answer(text: str, *, status: int = 200, style: str = "'self'") -> Response:
    policy = (
        f"default-src 'none'; style-src {style}; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Response(
        text,
        status,
        media_type="text/html",
        headers={
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        },
    )


def _json(body: Any, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(body),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _style(_: Request) -> Response:
    return Response(STYLE, media_type="text/css", headers={"Cache-Control": "max-age=300"})
