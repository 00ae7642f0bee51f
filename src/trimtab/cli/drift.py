"""drift: two files in, a verdict and HTML out; the exit status is a gate for CI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from trimtab.cli import words
from trimtab.cli.progress import counted
from trimtab.cli.session import Session, command
from trimtab.errors import InvalidInput
from trimtab.library import DriftDetector
from trimtab.library.drift_report import DriftReport
from trimtab.store.columnar import kind_of, read_batches, rows_in
from trimtab.types import Record, State, Verdict

file = click.Path(path_type=Path, exists=True, dir_okay=False)
DRIFTED_STATUS = 3
REFERENCE_ROWS = 200_000
_MOST_POINTS = 20


class Said(Record, frozen=True):
    """What `--json` prints."""

    drifted: bool
    broken: bool
    threshold: float
    state: State
    rows: int
    score: float
    flagged: tuple[str, ...]
    words: str
    comparisons: tuple[object, ...]
    quality: Verdict
    segments: dict[str, Verdict]


@command()
@click.argument("reference", type=file)
@click.argument("current", type=file)
@click.option("--column", "only", multiple=True, help="A column to compare; repeatable; else all.")
@click.option("--ignore", multiple=True, help="A column to leave out; repeatable.")
@click.option("--type", "types", multiple=True, metavar="COLUMN=KIND", help="What a column holds.")
@click.option("--unit", "units", multiple=True, metavar="COLUMN=UNIT", help="Its unit, for words.")
@click.option("--time", "time_column", help="Column of event times of the reference, Unix seconds.")
@click.option("--segment-by", help="Compare the values of this column apart, too.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.0, show_default=True,
              help="Score from which on a flagged feature fails the gate.")  # fmt: skip
@click.option("--min-rows", type=click.IntRange(min=1), default=30, show_default=True,
              help="Fewer current rows give no verdict.")  # fmt: skip
@click.option("--multivariate", multiple=True, metavar="METHOD",
              help="mmd, pca or domain_classifier; repeatable.")  # fmt: skip
@click.option("--fail-on-faults", is_flag=True, help="Faults in the data fail the gate, too.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page.")
def drift(
    session: Session,
    reference: Path,
    current: Path,
    only: tuple[str, ...],
    ignore: tuple[str, ...],
    types: tuple[str, ...],
    units: tuple[str, ...],
    time_column: str | None,
    segment_by: str | None,
    threshold: float,
    min_rows: int,
    multivariate: tuple[str, ...],
    fail_on_faults: bool,
    html: Path | None,
) -> int:
    """Compare CURRENT with REFERENCE (Parquet, CSV or JSON lines).

    Files are read in pieces: memory stays bounded. Of a reference of more than 400,000 rows, evenly
    spaced ones are taken.

    Exit status: 0 steady or too little data, 3 drifted, 2 bad input.
    """
    old = _reference(told(session, "reading the reference", reference))
    if not old.num_rows:
        raise InvalidInput(
            f"{str(reference)!r} has no rows.",
            hint="The reference is the rows that the model was trained on.",
            code="no_rows",
        )
    session.note(words.few_rows(old.num_rows))
    kept = _chosen(old.column_names, only, [*ignore, *filter(None, [time_column])], reference)
    times = None if time_column is None else _times(old, time_column, reference)
    detector = DriftDetector(
        old.select(kept),
        times=times,
        window_rows=max(min_rows, 1_000),
        min_rows=min_rows,
        types=_pairs(types, "--type"),
        units=_pairs(units, "--unit"),
        segment_by=segment_by,
        multivariate=multivariate,
    )
    report = detector.report_batches(
        map(_table, told(session, "comparing", current)),
        threshold,
        rows_in(current),
        numerals=kind_of(current) == "csv",
    )
    if html is not None:
        html.write_text(report.to_html(reference.name, current.name), encoding="utf-8")
    session.emit(_said(report), lambda console: show_report(console, report, html))
    failed = report.drifted or (fail_on_faults and report.broken)
    return DRIFTED_STATUS if failed else 0


def show_report(console: Console, report: DriftReport, html: Path | None) -> None:
    """How a comparison is printed."""
    show_verdict(console, report.verdict)
    for fault in report.quality.comparisons:
        if fault.name in report.quality.flagged:
            console.print(f"[red]fault[/red]  {fault.name}: ", end="")
            console.print(fault.words, markup=False)
    for name, verdict in report.segments.items():
        console.print(f"{name}: ", end="", markup=False)
        console.print(
            f"{verdict.state.value}, {verdict.rows:,} rows. {verdict.words}", markup=False
        )
    if html is not None:
        console.print(f"wrote {html}")


def show_verdict(console: Console, verdict: Verdict) -> None:
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


def _reference(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """At most twice 200,000 rows, evenly spaced, read in pieces."""
    step, seen, kept = 1, 0, pa.table({})
    for batch in batches:
        spaced = batch if step == 1 else batch.take(_every(step, -seen % step, batch.num_rows))
        piece = pa.Table.from_batches([spaced])
        kept = piece if not kept.num_columns else pa.concat_tables([kept, piece])
        seen += batch.num_rows
        while kept.num_rows > 2 * REFERENCE_ROWS:
            step *= 2
            kept = kept.take(_every(2, 0, kept.num_rows))
    return kept


def _every(step: int, first: int, rows: int) -> pa.Array:
    return pa.array(range(first, rows, step), pa.int64())


def told(session: Session, what: str, path: Path) -> Iterator[pa.RecordBatch]:
    """A file in pieces, with a bar on a terminal; elsewhere long files tell how far they are."""
    rows, total = 0, rows_in(path)
    lines = not (session.console.is_terminal or session.as_json)
    with counted(session.console, what) as update:
        for at, batch in enumerate(read_batches(path)):
            rows += batch.num_rows
            update(rows, total)
            if lines and at and not at % _MOST_POINTS:
                click.echo(f"{what}: {rows:,} rows", err=True)
            yield batch


def _table(batch: pa.RecordBatch) -> pa.Table:
    return pa.Table.from_batches([batch])


def _chosen(
    names: Sequence[str], only: Sequence[str], ignore: Sequence[str], path: Path
) -> list[str]:
    strangers = [name for name in (*only, *ignore) if name not in names]
    if strangers:
        raise InvalidInput(
            f"{str(path)!r} has no column {strangers[0]!r}.",
            hint=f"It has: {', '.join(names)}.",
            code="unknown_column",
        )
    return [name for name in only or names if name not in ignore]


def _times(table: pa.Table, column: str, path: Path) -> object:
    if column not in table.column_names:
        raise InvalidInput(
            f"{str(path)!r} has no column {column!r}.",
            hint=f"It has: {', '.join(table.column_names)}.",
            code="unknown_column",
        )
    return table[column].to_numpy()


def _pairs(given: Sequence[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise InvalidInput(
                f"{option} {text!r} is not of the form COLUMN=VALUE.",
                hint=f"For example: {option} zip=categorical",
                code="invalid_option",
            )
        pairs[name] = value
    return pairs


def _said(report: DriftReport) -> Said:
    verdict = report.verdict
    return Said(
        drifted=report.drifted,
        broken=report.broken,
        threshold=report.threshold,
        state=verdict.state,
        rows=verdict.rows,
        score=verdict.score,
        flagged=verdict.flagged,
        words=verdict.words,
        comparisons=verdict.comparisons,
        quality=report.quality,
        segments=report.segments,
    )
