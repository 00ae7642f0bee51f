"""features apply, list, show, diff."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from trimtab import plugins
from trimtab.cli import words
from trimtab.cli.session import Session, command
from trimtab.config import Config, ViewConfig, ViewTransform, convert
from trimtab.errors import InvalidConfig, NotFound
from trimtab.features.declare import views_in
from trimtab.features.definitions import Declared
from trimtab.types import AppliedView
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.views import (
    ViewChange,
    apply_views,
    compare_views,
    served_features,
    versions_of,
)

DIGEST = len("sha256:") + 12

definitions = click.argument("definitions", required=False)


def read_definitions(session: Session, name: str | None) -> Mapping[str, ViewConfig]:
    """Views of the configuration, a TOML file, or a Python file or module.

    Raises:
        InvalidConfig: it cannot be read, or defines nothing.
    """
    if name is None:
        found: Mapping[str, ViewConfig] = session.config().features.views
    elif name.endswith(".toml"):
        try:
            tree = tomllib.loads(Path(name).read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
            raise InvalidConfig(f"{name!r} cannot be read: {wrong}.", path=name) from wrong
        found = convert(tree, Config).features.views
    else:
        found = views_in(plugins.module(name))
    if not found:
        raise InvalidConfig(
            f"{name or 'The configuration'} defines no feature view.",
            hint="Write [features.views.NAME] in TOML, or view('NAME', …) in Python.",
        )
    return found


@command()
@definitions
@click.option("--reason", required=True, help="Why; kept in the audit log.")
def apply(session: Session, definitions: str | None, reason: str) -> None:
    """Make feature views the ones that are served.

    DEFINITIONS is a TOML file, a Python file or a module; the configuration's views unless named.
    Applying the same definitions again changes nothing. A change that would break a model with
    traffic is refused.
    """
    found = read_definitions(session, definitions)
    with session.deployment() as deployment:
        applied = apply_views(deployment, found, actor=session.actor, reason=reason)
    session.emit(applied, lambda console: _show_changes(console, applied, done=True))


@command()
@definitions
def diff(session: Session, definitions: str | None) -> int:
    """Show what `apply` would change; the exit status is 3 if it would change anything."""
    found = read_definitions(session, definitions)
    with session.deployment() as deployment:
        compared = compare_views(deployment, found)
    session.emit(compared, lambda console: _show_changes(console, compared, done=False))
    return 3 if any(one.changed for one in compared) else 0


@command("list")
def list_views(session: Session) -> None:
    """List the feature views that are served."""
    with session.deployment() as deployment:
        views = served_features(deployment).views
        with deployment.state.reading() as state:
            applied = {one.view: one for one in state.features.views()}
    shown = {
        name: {"version": applied[name].version if name in applied else None, "definition": view}
        for name, view in views.items()
    }

    def show(console: Console) -> None:
        if not views:
            console.print("No feature views yet: see [features.views] in trimtab.toml.")
            return
        table = Table(
            "view", "version", "entity", "features", "realtime", "batch", "fresh for", box=None
        )
        for name, view in views.items():
            made = [f"{step.name} (computed)" for step in view.transforms]
            table.add_row(
                name,
                f"v{applied[name].version}" if name in applied else "not applied",
                ", ".join(view.keys) or "–",
                ", ".join([*(feature.name for feature in view.features), *made]),
                view.realtime or "–",
                view.batch or "–",
                words.span(view.ttl_seconds) if view.ttl_seconds else "ever",
            )
        console.print(table)

    session.emit(shown, show)


@command()
@click.argument("view")
def show(session: Session, view: str) -> None:
    """Show VIEW: what it provides, its versions, and which model versions were trained with them."""
    with session.deployment() as deployment:
        views = served_features(deployment).views
        if view not in views:
            known = ", ".join(sorted(views)) or "none"
            raise NotFound(f"There is no feature view {view!r}.", hint=f"Views: {known}.")
        with deployment.state.reading() as state:
            versions = state.features.versions(view)
        digest = versions_of(deployment, [view])[view]
        trained = _trained_with(deployment, view)
    found = views[view]
    session.emit(
        {"view": view, "digest": digest, "definition": found, "versions": versions}
        | {"trained_with": trained},
        lambda console: _show_view(console, view, found, digest, versions, trained),
    )


def _trained_with(deployment: Deployment, view: str) -> dict[str, str]:
    """Digests of the view by ``model:version``, for all versions that read it."""
    with deployment.state.reading() as state:
        return {
            f"{version.model}:{version.version}": version.view_versions[view]
            for model in state.registry.models()
            for version in state.registry.versions(model)
            if view in version.view_versions
        }


def _show_view(
    console: Console,
    name: str,
    view: ViewConfig,
    digest: str,
    versions: Sequence[AppliedView],
    trained: Mapping[str, str],
) -> None:
    newest = f"v{max(one.version for one in versions)}" if versions else "not applied"
    console.print(f"[bold]{name}[/bold] {newest}  {view.description}".rstrip())
    facts = Table.grid(padding=(0, 2))
    facts.add_row("digest", digest)
    facts.add_row("entity", ", ".join(view.keys) or "–")
    facts.add_row("realtime", view.realtime or "–")
    facts.add_row("batch", view.batch or "–")
    facts.add_row("history", view.history or "–")
    facts.add_row("fresh for", words.span(view.ttl_seconds) if view.ttl_seconds else "ever")
    facts.add_row("owner", view.owner or "–")
    console.print(facts)
    table = Table("feature", "kind", "unit", "default", "range", "sensitivity", "from", box=None)
    provided: list[Declared] = [*view.features, *view.transforms]
    for one in provided:
        source = "function" if isinstance(one, ViewTransform) else "stores"
        table.add_row(
            one.name,
            one.kind,
            one.unit or "–",
            "–" if one.default is None else str(one.default),
            _range(one.minimum, one.maximum, one.allowed),
            one.sensitivity,
            source,
        )
    console.print(table)
    for applied in versions:
        models = [model for model, found in trained.items() if found == applied.digest]
        console.print(
            f"v{applied.version}  {applied.digest[:DIGEST]}  {words.moment(applied.applied_at)} UTC "
            f"by {applied.actor}: {applied.reason}"
            + (f"  (trained with it: {', '.join(models)})" if models else ""),
            markup=False,
        )


def _range(low: float | None, high: float | None, allowed: Sequence[object]) -> str:
    if allowed:
        return ", ".join(map(str, allowed))
    if low is None and high is None:
        return "–"
    left = "" if low is None else f"{low:g}"
    return f"{left} … {'' if high is None else f'{high:g}'}".strip()


def _show_changes(console: Console, found: Sequence[ViewChange], *, done: bool) -> None:
    for one in found:
        said = "is as applied" if not one.changed else "applied" if done else "would become"
        if not one.changed:
            console.print(f"{one.view} v{one.version}  {said}")
            continue
        console.print(f"{one.view} v{one.version}  {said}  {one.digest[:DIGEST]}")
        for change in one.differences:
            mark, text = "~", f"{change.before} → {change.after}"
            if change.before is None:
                mark, text = "+", f"{change.after}"
            elif change.after is None:
                mark, text = "-", f"{change.before}"
            console.print(f"  {mark} {change.path}: {text}", markup=False)
