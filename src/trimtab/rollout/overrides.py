"""Keys that go to a stated version whatever the split says: testers, who are in no statistics."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from trimtab.errors import InvalidInput, NotFound
from trimtab.rollout import finding
from trimtab.rollout.change import Change
from trimtab.rollout.split import unit_hash
from trimtab.types import Route

MAX_OVERRIDES = 1_000


def set_override(change: Change, model: str, key: str, version: int) -> Route:
    """Send a key to a version that is live, until that is undone or the rollout ends.

    Only the key's hash is kept, in the route and in the audit log.

    Raises:
        NotFound: the model is not deployed, or the version does not answer for it.
        InvalidInput: the key is empty, or there are too many already.
        Conflict: the epoch has moved on.
    """
    route = finding.route(change.state, model)
    live = [arm.version for arm in route.arms]
    if version not in live:
        raise NotFound(
            f"Version {version} of {model!r} does not answer now.",
            code="version_not_live",
            hint=f"Live: {', '.join(map(str, live))}. An override chooses among them.",
        )
    unit = _unit(key)
    chosen = {**(route.overrides or {}), unit: version}
    if len(chosen) > MAX_OVERRIDES:
        raise InvalidInput(
            f"{MAX_OVERRIDES} keys of {model!r} have an override already.",
            code="too_many_overrides",
            hint="Overrides are for testers; a share of the traffic is a rollout's.",
        )
    return _put(change, route, chosen, "override", unit=unit, version=version)


def clear_override(change: Change, model: str, key: str) -> Route:
    """Let the split decide about a key again.

    Raises:
        NotFound: the model is not deployed, or the key has no override.
        InvalidInput: the key is empty.
        Conflict: the epoch has moved on.
    """
    route = finding.route(change.state, model)
    unit = _unit(key)
    kept = dict(route.overrides or {})
    if kept.pop(unit, None) is None:
        raise NotFound(
            f"That key of {model!r} has no override.",
            code="no_override",
            hint="`trimtab override list` shows the hashes of those that have one.",
        )
    return _put(change, route, kept, "override_end", unit=unit)


def _put(
    change: Change, route: Route, overrides: Mapping[str, int], action: str, **detail: object
) -> Route:
    changed = replace(route, epoch=change.raise_epoch(), overrides=dict(overrides) or None)
    change.state.control.put_route(changed)
    change.log(action, route.model, epoch=changed.epoch, **detail)
    return changed


def _unit(key: str) -> str:
    if not key:
        raise InvalidInput("The key is empty.", code="empty_key", path="key")
    return unit_hash(key)
