"""report."""

from __future__ import annotations

from pathlib import Path

import click

from trimtab.cli import words
from trimtab.cli.session import Session, command
from trimtab.config import ModelConfig
from trimtab.report.stakeholder import render_report
from trimtab.wiring.overview import faults, overview


@command()
@click.argument("model")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="HTML file to write.")
def report(session: Session, model: str, out: Path | None) -> None:
    """Write the stakeholder report of MODEL as one self-contained HTML file."""
    path = out or Path(f"{model}-report.html")
    with session.deployment() as deployment:
        with deployment.state.reading() as state:
            found = overview(state, model, faults=faults(deployment))
        page = render_report(
            found,
            config=deployment.config.models.get(model, ModelConfig()),
            now=deployment.clock.now(),
            watch=deployment.config.watch,
        )
    path.write_text(page, encoding="utf-8")
    written = path.stat().st_size
    session.emit(
        {"written": str(path), "bytes": written, "health": found.health},
        lambda console: console.print(
            f"{found.health.value}: wrote {path} ({words.size(written)})"
        ),
    )
