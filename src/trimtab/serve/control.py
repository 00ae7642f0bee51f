"""The control plane: ``/api/v1``. Reading is open on the server's address; changes need a token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from trimtab import config as settings
from trimtab.config import AuthConfig, TokenConfig
from trimtab.errors import Conflict, InvalidRequest, Refused, Unavailable
from trimtab.rollout import controller
from trimtab.rollout.host_rollback import Override
from trimtab.serve.body import read_body
from trimtab.serve.decoding import decode
from trimtab.serve.reply import JSON
from trimtab.types import RolloutPlan
from trimtab.types import Route as TrafficRoute
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.overview import faults, overview, without_slots
from trimtab.wiring.rollback import roll_back

_encode = msgspec.json.Encoder().encode
CHANGING_ROLES = frozenset({"operator", "admin"})


class ChangeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a change is made, and the version or alias it is about.

    Of a deployment, ``force`` names refusals that are not to count, ``plan`` stands in for the
    configured one, and ``rivals`` are further candidates. ``key`` is the one that an override is about.
    With ``rollout``, the change is refused unless it is about that one; ``step``, from 1 on, does the same
    for the step that is approved.
    """

    reason: str
    version: int | str | None = None
    force: tuple[str, ...] = ()
    plan: RolloutPlan | None = None
    rivals: tuple[int | str, ...] = ()
    key: str = ""
    rollout: str = ""
    step: int | None = None


_change = msgspec.json.Decoder(ChangeBody)
Change = Callable[[Deployment, str, ChangeBody, TokenConfig], object]


def authorize(header: str, auth: AuthConfig) -> TokenConfig:
    """The token, whose owner may change state.

    Raises:
        Refused: no token, a wrong one, or one whose role only reads.
    """
    scheme, _, sent = header.partition(" ")
    if scheme.lower() != "bearer" or not sent:
        raise Refused(
            "This change needs a token.",
            code="unauthorized",
            hint="Send 'Authorization: Bearer …' with a token of [auth] tokens.",
        )
    for token in auth.tokens:
        if hmac.compare_digest(settings.secret(token.secret).encode(), sent.encode()):
            if token.role not in CHANGING_ROLES:
                raise Refused(
                    f"The role {token.role!r} of {token.name!r} may not change anything.",
                    hint="Ask for a token with the role operator.",
                )
            return token
    raise Refused("This token is not known.", code="unauthorized", hint="See [auth] tokens.")


def control_routes(deployment: Deployment) -> list[BaseRoute]:
    """The routes of the control plane over one deployment."""

    def models(_: Request) -> Response:
        wrong = faults(deployment)
        with deployment.state.reading() as state:
            found = [
                overview(state, name, verdict_limit=200, faults=wrong)
                for name in state.registry.models()
            ]
        return _json([{"model": m.model, "health": m.health, "because": m.because} for m in found])

    def model(request: Request) -> Response:
        with deployment.state.reading() as state:
            found = overview(state, request.path_params["model"], faults=faults(deployment))
        return _json(found)

    def verdicts(request: Request) -> Response:
        subject = request.query_params.get("subject")
        with deployment.state.reading() as state:
            return _json(state.watch.verdicts(request.path_params["model"], subject))

    def events(request: Request) -> Response:
        with deployment.state.reading() as state:
            return _json(state.audit.entries(request.query_params.get("model")))

    def changing(name: str) -> Callable[[Request, bytes], Response]:
        def apply(request: Request, body: bytes) -> Response:
            who = authorize(request.headers.get("authorization", ""), deployment.config.auth)
            asked = decode(_change, body)
            return _json(change(deployment, name, request.path_params["model"], asked, who))

        return apply

    return [
        Route("/api/v1/models", models),
        Route("/api/v1/models/{model}", model),
        Route("/api/v1/models/{model}/verdicts", verdicts),
        Route("/api/v1/events", events),
        *(
            Route(
                f"/api/v1/models/{{model}}/{name}",
                _posted(changing(name), deployment.config.serve.max_body_bytes),
                methods=["POST"],
            )
            for name in CHANGES
        ),
    ]


def change(
    deployment: Deployment, name: str, model: str, asked: ChangeBody, who: TokenConfig
) -> object:
    """Make one of ``CHANGES`` in the name of a token's owner; the new route or rollout.

    Raises:
        InvalidRequest: there is no reason, or what the change is about is missing.
        Conflict: it would be about another rollout than the one that is meant, or cannot be made now.
    """
    if not asked.reason.strip():
        raise InvalidRequest("'reason' is empty.", path="reason", hint="Say why.")
    if asked.rollout:
        _check_rollout(deployment, model, asked.rollout)
    return CHANGES[name](deployment, model, asked, who)


def _check_rollout(deployment: Deployment, model: str, meant: str) -> None:
    try:
        with deployment.state.reading() as state:
            found = controller.to_undo(state, model)
    except Unavailable:
        return  # a rollback goes on without the state, and nothing else does
    if found is None or found.id != meant:
        now = "none" if found is None else found.id
        raise Conflict(
            f"The rollout {meant} is not the present one of {model!r}: that is {now}.",
            code="another_rollout",
            hint="Look at where it stands now, and decide again.",
        )


def _deploy(deployment: Deployment, model: str, asked: ChangeBody, who: TokenConfig) -> object:
    if asked.version is None:
        raise InvalidRequest("'version' is missing.", path="version")
    return deployment.deploy_or_roll_out(
        model,
        asked.version,
        actor=who.name,
        reason=asked.reason,
        force=asked.force,
        plan=asked.plan,
        rivals=asked.rivals,
    )


def _roll_back(deployment: Deployment, model: str, asked: ChangeBody, who: TokenConfig) -> object:
    if asked.version is not None:
        return deployment.drop(model, asked.version, actor=who.name, reason=asked.reason)
    done = roll_back(deployment.config, model, actor=who.name, reason=asked.reason)
    return {"local": True, "override": done} if isinstance(done, Override) else done


def _approve(deployment: Deployment, model: str, asked: ChangeBody, who: TokenConfig) -> object:
    return deployment.approve(
        model, role=who.role, actor=who.name, reason=asked.reason, step=asked.step
    )


CHANGES: Mapping[str, Change] = {
    "deploy": _deploy,
    "approve": _approve,
    "promote": lambda d, model, b, who: d.promote(
        model, actor=who.name, reason=b.reason, version=b.version
    ),
    "pause": lambda d, model, b, who: d.pause(model, actor=who.name, reason=b.reason),
    "resume": lambda d, model, b, who: d.resume(model, actor=who.name, reason=b.reason),
    "rollback": _roll_back,
    "override": lambda d, model, b, who: d.override(
        model, b.key, b.version, actor=who.name, reason=b.reason
    ),
}
"""What may be asked under ``/api/v1/models/{model}/``, by name."""


def _posted(
    handle: Callable[[Request, bytes], Response], limit: int
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(handle, request, await read_body(request, limit))

    return endpoint


def _json(data: object) -> Response:
    if isinstance(data, TrafficRoute):
        data = without_slots(data)
    return Response(_encode(data), media_type=JSON)
