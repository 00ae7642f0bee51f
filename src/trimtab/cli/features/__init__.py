"""The group of commands on features: definitions, writing, training sets."""

from __future__ import annotations

import click

from trimtab.cli.features import training, views, writing


@click.group()
def features() -> None:
    """Define feature views, fill their stores, and make training sets from their history."""


for subcommand in (
    views.apply,
    views.list_views,
    views.show,
    views.diff,
    writing.push,
    writing.materialise,
    writing.consume,
    writing.get,
    training.training_frame,
):
    features.add_command(subcommand)
