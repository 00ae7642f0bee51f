"""Feature views of a deployment: what is served, and how a definition becomes what is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from trimtab import plugins
from trimtab.config import FeaturesConfig, ViewConfig
from trimtab.errors import Conflict, InvalidConfig, TrimtabError
from trimtab.features.definitions import check_view
from trimtab.features.live import breaks
from trimtab.features.steps import check_circles
from trimtab.features.versions import Change, body_of, changes, code_of, digest_of, view_of
from trimtab.features.views import compile_plan
from trimtab.protocols import StateTx
from trimtab.rollout import audit
from trimtab.types import AppliedView, Record, Signature, Version
from trimtab.wiring.deployment import Deployment


class ViewChange(Record, frozen=True):
    """What applying a definition changes; ``version`` is the one that it makes or already is."""

    view: str
    version: int
    digest: str
    changed: bool
    differences: tuple[Change, ...]


class _Defined(Record, frozen=True):
    """A definition, told and digested."""

    config: ViewConfig
    body: dict[str, object]
    code: dict[str, str]
    digest: str


def served(state: StateTx, config: FeaturesConfig) -> FeaturesConfig:
    """The settings with the views that are served: what was applied, else what is configured."""
    applied = {one.view: view_of(one.body) for one in state.features.views()}
    return replace(config, views={**config.views, **applied})


def served_features(deployment: Deployment) -> FeaturesConfig:
    """As :func:`served`, in a transaction of its own."""
    with deployment.state.reading() as state:
        return served(state, deployment.config.features)


def applied_views(deployment: Deployment, views: Sequence[str]) -> dict[str, str]:
    """The digests of those views that were applied, by view."""
    if not views:
        return {}
    with deployment.state.reading() as state:
        return {one.view: one.digest for one in state.features.views() if one.view in views}


def providing(deployment: Deployment, signature: Signature) -> tuple[str, ...]:
    """The views that have a feature of a model's, by name, sorted."""
    names = set(signature.names)
    made = {
        name: {one.name for one in view.features} | {one.name for one in view.transforms}
        for name, view in served_features(deployment).views.items()
    }
    return tuple(sorted(view for view, provided in made.items() if provided & names))


def versions_of(deployment: Deployment, views: Sequence[str]) -> dict[str, str]:
    """The digests of views as they are served, for a model that was trained with them."""
    applied = applied_views(deployment, views)
    configured = deployment.config.features.views
    return {
        name: applied[name] if name in applied else _defined(name, configured[name]).digest
        for name in views
        if name in applied or name in configured
    }


def compare_views(
    deployment: Deployment, views: Mapping[str, ViewConfig]
) -> tuple[ViewChange, ...]:
    """What applying these definitions would change; nothing is changed.

    Raises:
        InvalidConfig: a definition does not hold, with its path.
    """
    defined = _checked(deployment.config.features, views)
    with deployment.state.reading() as state:
        return _compared(state, defined)


def apply_views(
    deployment: Deployment, views: Mapping[str, ViewConfig], *, actor: str, reason: str
) -> tuple[ViewChange, ...]:
    """Make definitions the ones that are served; the same ones again change nothing.

    What changed is one line of the audit log, and every model that reads a changed view is built anew
    by all workers.

    Raises:
        InvalidConfig: a definition does not hold, with its path.
        Conflict: a model with traffic would break, with the reason.
        InvalidInput: nobody is named, or no reason is given.
    """
    audit.require(actor, reason)
    defined = _checked(deployment.config.features, views)
    with deployment.changing() as state:
        found = _compared(state, defined)
        changed = [one for one in found if one.changed]
        if not changed:
            return found
        _check_live(state, deployment.config.features, {c.view: defined[c.view] for c in changed})
        now = deployment.clock.now()
        for one in changed:
            state.features.add_view(
                AppliedView(
                    view=one.view,
                    version=one.version,
                    digest=one.digest,
                    applied_at=now,
                    actor=actor,
                    reason=reason,
                    body=defined[one.view].body,
                    code=defined[one.view].code,
                )
            )
        audit.append(
            state.audit,
            actor=actor,
            action="features_apply",
            model="",
            detail={one.view: {"version": one.version, "digest": one.digest} for one in changed},
            reason=reason,
            clock=deployment.clock,
        )
        _rebuild(state, {one.view for one in changed})
    return found


def _checked(config: FeaturesConfig, views: Mapping[str, ViewConfig]) -> dict[str, _Defined]:
    together = replace(config, views=dict(views))
    for name, view in views.items():
        check_view(together, name)
        _check_kinds(config, view)
        check_circles({name: view})
    return {name: _defined(name, view) for name, view in views.items()}


def _check_kinds(config: FeaturesConfig, view: ViewConfig) -> None:
    """Refuse a view whose stores nobody could open: pushing to it would fail, and every model that reads it."""
    known = plugins.names("trimtab.stores")
    for store in filter(None, (view.realtime, view.batch)):
        kind = config.stores[store].kind
        if kind not in known:
            raise InvalidConfig(
                f"There is no feature store of the kind {kind!r}.",
                code="unknown_store_kind",
                path=f"features.stores.{store}.kind",
                hint=f"Known: {', '.join(known)}.",
            )


def _defined(name: str, view: ViewConfig) -> _Defined:
    body, code = body_of(view), code_of(view, f"features.views.{name}")
    return _Defined(config=view, body=body, code=code, digest=digest_of(body, code))


def _compared(state: StateTx, defined: Mapping[str, _Defined]) -> tuple[ViewChange, ...]:
    applied = {one.view: one for one in state.features.views()}
    found = []
    for name, one in sorted(defined.items()):
        before = applied.get(name)
        changed = before is None or before.digest != one.digest
        found.append(
            ViewChange(
                view=name,
                version=(before.version if before else 0) + changed,
                digest=one.digest,
                changed=changed,
                differences=changes(
                    before.body if before else {},
                    one.body,
                    before.code if before else {},
                    one.code,
                ),
            )
        )
    return tuple(found)


def _check_live(state: StateTx, config: FeaturesConfig, changed: Mapping[str, _Defined]) -> None:
    """Refuse what a version with traffic cannot do with, or would take for something else."""
    old = served(state, config)
    new = replace(old, views={**old.views, **{name: one.config for name, one in changed.items()}})
    recoded = {
        transform
        for one in state.features.views()
        if one.view in changed
        for transform, code in changed[one.view].code.items()
        if one.code.get(transform, code) != code
    }
    for version in _live(state):
        if not set(version.views) & set(changed):
            continue
        try:
            before = compile_plan(old, version.signature, version.views)
        except TrimtabError:
            continue  # it does not work as it is: nothing to break
        try:
            after = compile_plan(new, version.signature, version.views)
            said = breaks(before, after, version.signature, old, new, recoded)
            where = None
        except TrimtabError as wrong:
            said, where = wrong.message, wrong.path
        if said:
            raise Conflict(
                f"{version.model} v{version.version} has traffic and would break: {said}",
                code="view_breaks_model",
                path=where,
                hint="Give the changed view another name, train a version with it, and roll it out.",
            )


def _live(state: StateTx) -> Sequence[Version]:
    numbers = {(route.model, arm.version) for route in state.control.routes() for arm in route.arms}
    found = (state.registry.version(*number) for number in sorted(numbers))
    return [version for version in found if version is not None]


def _rebuild(state: StateTx, views: set[str]) -> None:
    """Give routes of models that read these views a new epoch, so that every worker builds them."""
    models = {version.model for version in _live(state) if set(version.views) & views}
    if not models:
        return
    epoch = state.control.advance(state.control.epoch())
    for route in state.control.routes():
        if route.model in models:
            state.control.put_route(replace(route, epoch=epoch))
