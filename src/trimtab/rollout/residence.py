"""Deployed models that are out of service: their routes are kept, but no worker holds them in memory.

What is kept is the epoch of the route that was taken out of service, so any later change of a model's
traffic brings it back by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.errors import Conflict
from trimtab.protocols import StateTx
from trimtab.rollout import finding
from trimtab.rollout.change import Change
from trimtab.types import Route


def resident(state: StateTx) -> Sequence[Route]:
    """The routes whose models workers are to hold, by name."""
    return [route for route in state.control.routes() if not is_unloaded(state, route)]


def is_unloaded(state: StateTx, route: Route) -> bool:
    """Whether a route is out of service."""
    return state.setting(_key(route.model)) == str(route.epoch)


def unload(change: Change, model: str) -> None:
    """Take a model out of service; one that is out already stays so.

    Raises:
        NotFound: it is not deployed.
        Conflict: it has a rollout under way, whose guardrails need its traffic.
    """
    route = finding.route(change.state, model)
    if is_unloaded(change.state, route):
        return
    if finding.open_rollout(change.state, model) is not None:
        raise Conflict(
            f"{model!r} has a rollout under way.",
            code="rollout_running",
            hint="Promote it or roll it back first.",
        )
    change.state.save_setting(_key(model), str(route.epoch))
    change.log("unload", model, version=route.champion, epoch=change.raise_epoch())


def load(change: Change, model: str) -> None:
    """Bring a model back into service under the route that it had; one that is in stays so.

    Raises:
        NotFound: it is not deployed.
    """
    route = finding.route(change.state, model)
    if not is_unloaded(change.state, route):
        return
    change.state.save_setting(_key(model), "")
    change.log("load", model, version=route.champion, epoch=change.raise_epoch())


def _key(model: str) -> str:
    return f"unloaded/{model}"
