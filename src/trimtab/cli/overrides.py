"""override: testers' keys, sent to a stated version."""

from __future__ import annotations

from collections.abc import Callable

import click
from rich.console import Console

from trimtab.cli.rollouts import named, reason
from trimtab.cli.session import Session, command


@click.group()
def override() -> None:
    """Send a tester's key to a stated version, whatever the split says.

    What such keys are answered is in no statistics. An override ends with the rollout.
    """


@command()
@click.argument("model")
@click.argument("key")
@click.argument("version")
@reason
def set_(session: Session, model: str, key: str, version: str, reason: str) -> None:
    """Send KEY of MODEL to VERSION, which must be live; only the key's hash is kept."""
    with session.deployment() as deployment:
        made = deployment.override(model, key, named(version), actor=session.actor, reason=reason)
        session.emit(made.overrides or {}, _shown(model, made.overrides))


@command()
@click.argument("model")
@click.argument("key")
@reason
def clear(session: Session, model: str, key: str, reason: str) -> None:
    """Let the split decide about KEY of MODEL again."""
    with session.deployment() as deployment:
        made = deployment.override(model, key, None, actor=session.actor, reason=reason)
        session.emit(made.overrides or {}, _shown(model, made.overrides))


@command()
@click.argument("model")
def list_(session: Session, model: str) -> None:
    """Show the hashes of MODEL's keys that have an override, and their versions."""
    with session.deployment() as deployment:
        found = deployment.overrides(model)
        session.emit(found, _shown(model, found))


def _shown(model: str, overrides: dict[str, int] | None) -> Callable[[Console], None]:
    def show(console: Console) -> None:
        for unit, version in sorted((overrides or {}).items()):
            console.print(f"{unit}  v{version}")
        if not overrides:
            console.print(f"{model}: no key has an override.")

    return show


for name, subcommand in (("set", set_), ("clear", clear), ("list", list_)):
    subcommand.name = name
    override.add_command(subcommand)
