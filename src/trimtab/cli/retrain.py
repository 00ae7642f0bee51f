"""retrain."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from trimtab import plugins
from trimtab.act.retraining import Trainer
from trimtab.cli.models import show_version
from trimtab.cli.session import Session, command
from trimtab.errors import InvalidConfig
from trimtab.wiring.retraining import retrain as retrain_model

when = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@command()
@click.argument("model")
@click.option("--trainer", help="package.module:function; else [models.MODEL] trainer.")
@click.option("--since", type=when, help="Event time (UTC) from which on to learn.")
@click.option("--until", type=when, help="Event time (UTC) before which to learn.")
@click.option("--min-outcomes", type=click.IntRange(1), default=1_000, show_default=True)
def retrain(
    session: Session,
    model: str,
    trainer: str | None,
    since: datetime | None,
    until: datetime | None,
    min_outcomes: int,
) -> None:
    """Retrain MODEL on recorded predictions and their outcomes; registers, does not deploy."""
    with session.deployment() as deployment:
        configured = deployment.config.models.get(model)
        name = trainer or (configured.trainer if configured else "")
        if not name:
            raise InvalidConfig(
                f"No trainer is known for {model!r}.",
                path=f"models.{model}.trainer",
                hint="Name one with --trainer package.module:function.",
            )
        version = retrain_model(
            deployment,
            model,
            _trainer(name),
            since=_seconds(since),
            until=_seconds(until),
            min_outcomes=min_outcomes,
            author=session.actor,
        )
    session.emit(version, lambda console: show_version(console, version))


def _trainer(name: str) -> Trainer:
    """The trainer of that name; modules of the working directory are found too."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    trainer: Trainer = plugins.by_path(name)
    return trainer


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()
