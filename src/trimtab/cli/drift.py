"""drift: two files in, a verdict and HTML out; the exit status is a gate for CI."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from trimtab.cli.session import Session, command
from trimtab.library import DriftDetector
from trimtab.report.drift_page import render_drift
from trimtab.store.columnar import read_frame
from trimtab.types import State, Verdict

file = click.Path(path_type=Path, exists=True, dir_okay=False)
DRIFTED_STATUS = 3


@command()
@click.argument("reference", type=file)
@click.argument("current", type=file)
@click.option("--ignore", multiple=True, help="A column to leave out; repeatable.")
@click.option("--time", "time_column", help="Column of event times of the reference, Unix seconds.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page.")
def drift(
    session: Session,
    reference: Path,
    current: Path,
    ignore: tuple[str, ...],
    time_column: str | None,
    html: Path | None,
) -> int:
    """Compare CURRENT with REFERENCE (Parquet, CSV or JSON lines).

    Exit status: 0 steady or too little data, 3 drifted, 2 bad input.
    """
    old, new = read_frame(reference), read_frame(current)
    left_out = [*ignore, *filter(None, [time_column])]
    times = None if time_column is None else old[time_column].to_numpy(zero_copy_only=False)
    detector = DriftDetector(old.drop_columns(left_out), times=times)
    kept = [name for name in new.column_names if name not in left_out]
    verdict = detector.verdict(new.select(kept))
    if html is not None:
        html.write_text(render_drift(verdict, reference.name, current.name), encoding="utf-8")
    session.emit(verdict, lambda console: show_verdict(console, verdict, html))
    return DRIFTED_STATUS if verdict.flagged else 0


def show_verdict(console: Console, verdict: Verdict, html: Path | None) -> None:
    """How a verdict is printed."""
    colour = {State.STEADY: "green", State.NOT_ENOUGH_DATA: "yellow"}.get(verdict.state, "red")
    console.print(f"[{colour}]{verdict.state.value}[/{colour}]  {verdict.rows:,} rows")
    console.print(verdict.words, markup=False)
    table = Table("feature", "score", "noise floor", "p", "statistic", "", box=None)
    ranked = sorted(verdict.comparisons, key=lambda c: (c.name not in verdict.flagged, -c.score))
    for c in ranked:
        mark = "drifted" if c.name in verdict.flagged else ""
        p = "–" if c.p_value is None else f"{c.p_value:.2g}"
        table.add_row(c.name, f"{c.score:.3f}", f"{c.noise_floor:.3f}", p, c.statistic, mark)
    console.print(table)
    if html is not None:
        console.print(f"wrote {html}")
