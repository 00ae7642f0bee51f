"""The dashboard's pages: what is read at the moment of the request, and nothing kept."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trimtab.config import ModelConfig
from trimtab.report.charts import Point
from trimtab.report.findings import DATA_DRIFT, champion_line, score_lines
from trimtab.report.rendering import STYLE
from trimtab.report.stakeholder import render_report
from trimtab.report.view import ModelView, model_view
from trimtab.rollout import controller
from trimtab.ui.changes import change_routes
from trimtab.ui.data import model_data
from trimtab.ui.offers import offers
from trimtab.ui.rendering import answer, guarded, json, page
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.overview import ModelOverview, faults, overview

_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
_INDEX_VERDICTS = 300


def page_routes(deployment: Deployment) -> list[BaseRoute]:
    """The pages of a deployment, its style sheet, and each model's page as JSON.

    The endpoints are plain functions: Starlette runs them in threads, so that no page holds up
    predictions.
    """
    pages = _Pages(deployment)
    return [
        Route("/", guarded(pages.index)),
        Route("/static/trimtab.css", _style),
        Route("/models/{model}.json", guarded(pages.data)),
        Route("/models/{model}/report", guarded(pages.report)),
        *change_routes(deployment),
        Route("/models/{model}", guarded(pages.model)),
    ]


class _Pages:
    """One method a page."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def index(self, request: Request) -> Response:
        watch, wrong = self._deployment.config.watch, faults(self._deployment)
        with self._deployment.state.reading() as state:
            found = [
                overview(state, model, verdict_limit=_INDEX_VERDICTS, faults=wrong)
                for model in state.registry.models()
            ]
        cards = [
            (model_view(one, self._config(one.model), watch), _drift_trend(one)) for one in found
        ]
        return page(request, "index.html", cards=cards, watch=watch)

    def model(self, request: Request) -> Response:
        with self._deployment.state.reading() as state:
            found = overview(state, request.path_params["model"], faults=faults(self._deployment))
            offered = offers(controller.to_undo(state, found.model))
        config, watch = self._config(found.model), self._deployment.config.watch
        view: ModelView = model_view(found, config, watch)
        return page(request, "model.html", view=view, config=config, watch=watch, offers=offered)

    def report(self, request: Request) -> Response:
        found = self._read(request)
        text = render_report(
            found,
            config=self._config(found.model),
            now=self._deployment.clock.now(),
            watch=self._deployment.config.watch,
        )
        return answer(text, style=f"'sha256-{_STYLE_HASH}'")

    def data(self, request: Request) -> Response:
        return json(model_data(self._read(request)))

    def _read(self, request: Request) -> ModelOverview:
        with self._deployment.state.reading() as state:
            return overview(state, request.path_params["model"], faults=faults(self._deployment))

    def _config(self, model: str) -> ModelConfig:
        return self._deployment.config.models.get(model, ModelConfig())


def _drift_trend(found: ModelOverview) -> Sequence[Point]:
    return champion_line(score_lines(found, DATA_DRIFT))


def _style(_: Request) -> Response:
    return Response(STYLE, media_type="text/css", headers={"Cache-Control": "max-age=300"})
