"""Changes from the dashboard: a button leads to a page that says what will happen and asks for a reason.

What is sent goes the way of ``/api/v1``: the same authorisation, the same changes, the same audit log. The
token is typed in and kept nowhere, so nothing that a browser sends by itself can change anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from trimtab.errors import Conflict, InvalidRequest, NotFound, TrimtabError
from trimtab.rollout import controller
from trimtab.serve.body import read_body
from trimtab.serve.control import ChangeBody, authorize, change
from trimtab.serve.status import status_of
from trimtab.ui.offers import OFFERED, Offer, offers
from trimtab.ui.rendering import guarded, page, trouble
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.overview import overview

_PATH = "/models/{model}/change/{name}"
_FORM = "application/x-www-form-urlencoded"
_MOST_BYTES = 10_000


def change_routes(deployment: Deployment) -> list[BaseRoute]:
    """The page that asks, and where its form is sent."""
    desk = _Desk(deployment)
    return [
        Route(_PATH, guarded(desk.ask)),
        Route(_PATH, desk.sent, methods=["POST"]),
    ]


class _Desk:
    """Asks, and passes on what was answered."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def ask(self, request: Request) -> Response:
        return self._page(request, self._offered(request))

    async def sent(self, request: Request) -> Response:
        try:
            if request.path_params["name"] not in OFFERED:
                raise NotFound(f"There is nothing at {request.url.path}.", code="no_route")
            form = _form(request, await read_body(request, _MOST_BYTES))
        except TrimtabError as error:
            return trouble(request, error, status_of(error))
        return await run_in_threadpool(self._apply, request, form)

    def _apply(self, request: Request, form: Mapping[str, str]) -> Response:
        model, name = request.path_params["model"], request.path_params["name"]
        try:
            who = authorize(f"Bearer {form.get('token', '').strip()}", self._deployment.config.auth)
            change(self._deployment, name, model, _body(name, form), who)
        except TrimtabError as error:
            return self._again(request, form, error)
        return RedirectResponse(f"/models/{quote(model, safe='')}", status_code=303)

    def _again(self, request: Request, form: Mapping[str, str], error: TrimtabError) -> Response:
        """The form with what is wrong; without it if the change is not on offer any more."""
        try:
            offer = self._offered(request)
        except TrimtabError:
            return trouble(request, error, status_of(error))
        if offer.rollout != form.get("rollout"):
            return trouble(request, error, status_of(error))
        return self._page(request, offer, error, form)

    def _page(
        self,
        request: Request,
        offer: Offer,
        error: TrimtabError | None = None,
        form: Mapping[str, str] = {},
    ) -> Response:
        return page(
            request,
            "change.html",
            200 if error is None else status_of(error),
            live=False,
            model=request.path_params["model"],
            offer=offer,
            error=error,
            reason=form.get("reason", ""),
            version=form.get("version", request.query_params.get("version", "")),
            open=bool(self._deployment.config.auth.tokens),
        )

    def _offered(self, request: Request) -> Offer:
        model, name = request.path_params["model"], request.path_params["name"]
        with self._deployment.state.reading() as state:
            overview(state, model, verdict_limit=1)
            found = offers(controller.to_undo(state, model))
        offer = next((offer for offer in found if offer.name == name), None)
        if offer is None:
            raise Conflict(
                f"There is nothing to {name} of {model!r} now.",
                hint="Its page says where it stands.",
            )
        return offer


def _form(request: Request, body: bytes) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != _FORM:
        raise InvalidRequest(
            "This address takes the form of its page.",
            code="unsupported_media_type",
            hint="Programs use /api/v1.",
        )
    try:
        return dict(parse_qsl(body.decode(), errors="strict", max_num_fields=10))
    except ValueError as wrong:
        raise InvalidRequest("The form cannot be read.") from wrong


def _body(name: str, form: Mapping[str, str]) -> ChangeBody:
    version, step = form.get("version", ""), form.get("step", "")
    return ChangeBody(
        reason=form.get("reason", ""),
        version=int(version) if version.isdecimal() else None,
        rollout=form.get("rollout", ""),
        step=int(step) if name == "approve" and step.isdecimal() else None,
    )
