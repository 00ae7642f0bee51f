"""The protocol's repository extension: what could be asked, and which of it is in memory.

Source: the model repository extension of the Open Inference Protocol, as Triton publishes it. A model is
loaded under the route that it has; one that has none is deployed, as ``trimtab deploy`` would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.config import TokenConfig
from trimtab.errors import Conflict, ModelFailure, NotFound
from trimtab.protocols import LiveModel, StateTx
from trimtab.rollout.residence import is_unloaded
from trimtab.serve.body import read_body
from trimtab.serve.control import authorize
from trimtab.serve.decoding import decode
from trimtab.serve.reply import JSON
from trimtab.types import Route as TrafficRoute
from trimtab.types import Version
from trimtab.wiring.deployment import Deployment

_encode = msgspec.json.Encoder().encode
REASON = "Asked for over the repository extension."


class IndexBody(msgspec.Struct, frozen=True):
    """Whether only what is in memory is listed."""

    ready: bool = False


class RepositoryParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``version`` is a number or an alias; ``reason`` goes into the audit log."""

    version: int | str | None = None
    reason: str = REASON
    unload_dependents: bool = False


class RepositoryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be loaded or unloaded."""

    parameters: RepositoryParameters = RepositoryParameters()


class IndexEntry(msgspec.Struct, frozen=True):
    """One version of a model, and whether it is in memory."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


_index = msgspec.json.Decoder(IndexBody)
_body = msgspec.json.Decoder(RepositoryBody)


@dataclass(frozen=True, slots=True)
class Repository:
    """Index, load and unload, whatever the wire.

    Args:
        deployment: Where models are registered and deployed.
        models: What is live in this worker.
        refresh: Brings this worker to the newest epoch; blocking.
    """

    deployment: Deployment
    models: Callable[[], tuple[LiveModel, ...]]
    refresh: Callable[[], bool]

    def index(self, *, ready: bool) -> tuple[IndexEntry, ...]:
        """Every registered version, or those alone that are in memory."""
        live = {model.route.model: model for model in self.models()}
        with self.deployment.state.reading() as state:
            found = tuple(
                entry
                for name in state.registry.models()
                for entry in _versions(state, name, live.get(name))
            )
        return tuple(entry for entry in found if entry.state == "READY" or not ready)

    def load(self, model: str, asked: RepositoryParameters, who: TokenConfig) -> None:
        """Bring a model or a version of it into memory, and answer once it is there.

        Raises:
            NotFound: no such model or version.
            InvalidPlan: another version answers, and no rollout is configured.
            ModelFailure: it cannot be loaded.
        """
        deployment, by = self.deployment, {"actor": who.name, "reason": asked.reason}
        with deployment.state.reading() as state:
            route = state.control.route(model)
            out = route is not None and is_unloaded(state, route)
            newest = max((v.version for v in state.registry.versions(model)), default=None)
        if newest is None:
            raise NotFound(
                f"There is no model {model!r}.",
                code="model_not_found",
                hint="`trimtab register` registers a version.",
            )
        if out:
            deployment.load(model, **by)
        if route is None or asked.version is not None:
            number = deployment.version(model, newest if asked.version is None else _named(asked))
            if route is None or number.version not in {arm.version for arm in route.arms}:
                deployment.deploy_or_roll_out(
                    model, number.version, actor=who.name, reason=asked.reason
                )
        self.refresh()
        if model not in {found.route.model for found in self.models()}:
            raise ModelFailure(
                f"{model!r} could not be loaded.",
                code="not_loaded",
                hint="The server's log says why; it is tried again every second.",
            )

    def unload(self, model: str, asked: RepositoryParameters, who: TokenConfig) -> None:
        """Take a model, or the candidate of its rollout, out of memory.

        Raises:
            NotFound: the model is not deployed, or the version is not live.
            Conflict: the version answers as champion beside others, or a rollout is under way.
        """
        by = {"actor": who.name, "reason": asked.reason}
        with self.deployment.state.reading() as state:
            route = state.control.route(model)
        if asked.version is not None and route is not None:
            self._check_unload(route, asked)
        if asked.version is not None and route is not None and len(route.arms) > 1:
            self.deployment.roll_back(model, **by)
        else:
            self.deployment.unload(model, **by)
        self.refresh()

    def _check_unload(self, route: TrafficRoute, asked: RepositoryParameters) -> None:
        number = self.deployment.version(route.model, _named(asked)).version
        if number not in {arm.version for arm in route.arms}:
            raise NotFound(
                f"Version {number} of {route.model!r} is not live.", code="version_not_live"
            )
        if number == route.champion and len(route.arms) > 1:
            raise Conflict(
                f"Version {number} of {route.model!r} is the champion of a rollout.",
                code="rollout_running",
                hint="Promote the candidate, or roll it back first.",
            )


def repository_routes(repository: Repository, max_body_bytes: int) -> list[Route]:
    """The routes; loading and unloading need a token, as every change does."""
    Act = Callable[[str, RepositoryParameters, TokenConfig], None]
    auth = repository.deployment.config.auth

    async def index(request: Request) -> Response:
        body = await read_body(request, max_body_bytes)
        asked = decode(_index, body or b"{}")
        found = await run_in_threadpool(repository.index, ready=asked.ready)
        return Response(_encode(found), media_type=JSON)

    def changing(act: Act, path: str) -> Route:
        async def endpoint(request: Request) -> Response:
            who = authorize(request.headers.get("authorization", ""), auth)
            body = await read_body(request, max_body_bytes)
            asked = decode(_body, body or b"{}").parameters
            await run_in_threadpool(act, request.path_params["model"], asked, who)
            return Response(b"{}", media_type=JSON)

        return Route(f"/v2/repository/models/{{model}}/{path}", endpoint, methods=["POST"])

    return [
        Route("/v2/repository/index", index, methods=["POST"]),
        changing(repository.load, "load"),
        changing(repository.unload, "unload"),
    ]


def _versions(state: StateTx, name: str, live: LiveModel | None) -> Iterator[IndexEntry]:
    """A model's versions, the oldest first."""
    route = state.control.route(name)
    ready = {arm.version for arm in live.arms if arm is not None} if live is not None else set()
    for version in state.registry.versions(name):
        number = version.version
        if number in ready:
            yield IndexEntry(name, str(number), "READY", "")
        else:
            yield IndexEntry(name, str(number), "UNAVAILABLE", _why(state, route, version))


def _why(state: StateTx, route: TrafficRoute | None, version: Version) -> str:
    if route is None:
        return "not deployed"
    if version.version not in {arm.version for arm in route.arms}:
        return "takes no traffic"
    return "unloaded" if is_unloaded(state, route) else "not loaded yet, or it cannot be"


def _named(asked: RepositoryParameters) -> int | str:
    """The version as the registry names it; clients of the protocol send numbers as text."""
    sent = asked.version
    return int(sent) if isinstance(sent, str) and sent.isascii() and sent.isdecimal() else sent or 0
