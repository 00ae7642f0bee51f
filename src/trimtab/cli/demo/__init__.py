"""The whole voyage on real flights: ``trimtab demo``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from trimtab.cli.session import Session, command

folder = click.Path(path_type=Path, file_okay=False)


@command("demo")
@click.option("--exit", "leave", is_flag=True, help="End after the voyage instead of serving on.")
@click.option(
    "--dir", "directory", type=folder, default=Path("trimtab-demo"), show_default=True,
    help="Where the demo keeps its state; made anew.",
)  # fmt: skip
def demo(session: Session, leave: bool, directory: Path) -> int:
    """Serve, watch, retrain, ramp up, roll back and survive: on the 2013 New York flights.

    Takes about four minutes on two cores and ends with a dashboard to open.
    """
    from trimtab.cli.demo.voyage import Voyage

    return asyncio.run(Voyage(session, directory, leave=leave).run())
