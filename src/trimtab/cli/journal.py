"""journal verify, cat, export, compact, trim."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from msgspec import structs
from rich.console import Console

from trimtab.cli.session import FAILED_STATUS, Session, command
from trimtab.errors import NotFound
from trimtab.record.table import withheld_names
from trimtab.record.verify import SegmentReport, verify, verify_parts
from trimtab.telemetry import Metrics
from trimtab.types import PredictionRecord, Signature
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.journal import export as write_export
from trimtab.wiring.journal import journal_dir, recorded
from trimtab.wiring.recording import signatures_of
from trimtab.wiring.upkeep import Upkeep

F = TypeVar("F", bound=Callable[..., object])
when = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


def _span(run: F) -> F:
    """The options that choose records by event time and version."""
    for option in (
        click.option("--version", type=click.IntRange(1), help="The only version wanted."),
        click.option("--until", type=when, help="Event time (UTC) before which."),
        click.option("--since", type=when, help="Event time (UTC) from which on."),
    ):
        run = option(run)
    return run


@click.group()
def journal() -> None:
    """Check, read, export, compact and trim what was recorded."""


@command("verify")
def verify_journal(session: Session) -> int:
    """Read all segments and parts through: records, and each damaged spot with its offsets.

    Needs no database. The exit status is 1 if anything is damaged.
    """
    directory = journal_dir(session.config())
    if not directory.is_dir():
        raise NotFound(
            f"There is no journal at {directory}.",
            code="no_journal",
            hint="Choose the state directory with --state. The first prediction begins a journal.",
        )
    reports, parts = list(verify(directory)), list(verify_parts(directory))
    both = [*reports, *parts]
    damaged = sum(spot.end - spot.start for one in both for spot in one.damage)
    found = {
        "segments": reports,
        "parts": parts,
        "records": sum(one.records for one in both),
        "size_bytes": sum(one.size_bytes for one in both),
        "damaged_bytes": damaged,
    }
    session.emit(found, lambda console: _show(console, reports, parts))
    return FAILED_STATUS if damaged else 0


def _show(console: Console, reports: list[SegmentReport], parts: list[SegmentReport]) -> None:
    both = [*reports, *parts]
    for one in both:
        for spot in one.damage:
            what = spot.what.replace("_", " ")
            console.print(f"{one.segment}: {what} at bytes {spot.start:,} to {spot.end:,}")
    spots = sum(len(one.damage) for one in both)
    said = "no damage" if not spots else f"{spots:,} damaged spot{'' if spots == 1 else 's'}"
    console.print(
        f"{len(reports):,} segment{'' if len(reports) == 1 else 's'}, "
        f"{len(parts):,} part{'' if len(parts) == 1 else 's'}, "
        f"{sum(one.records for one in both):,} records, "
        f"{sum(one.size_bytes for one in both):,} bytes: {said}"
    )


@command("cat")
@click.option("--model", help="The only model wanted.")
@_span
@click.option("--limit", type=click.IntRange(1), help="The most records to print.")
def cat_journal(
    session: Session,
    model: str | None,
    since: datetime | None,
    until: datetime | None,
    version: int | None,
    limit: int | None,
) -> None:
    """Print records as JSON lines, in the order of recording; values bear their features' names."""
    with session.deployment() as deployment:
        found = recorded(
            deployment, model, since=_seconds(since), until=_seconds(until), version=version
        )
        rows = _named(islice(found, limit), deployment)
        if session.as_json:
            session.emit(list(rows), lambda _: None)
            return
        for row in rows:
            click.echo(msgspec.json.encode(row))


def _named(records: Iterator[PredictionRecord], deployment: Deployment) -> Iterator[dict[str, Any]]:
    """Each record as an object; ``features`` is by name where the version is registered."""
    signatures: dict[str, dict[int, Signature]] = {}
    for record in records:
        if record.model not in signatures:
            signatures[record.model] = signatures_of(deployment, record.model)
        signature, row = signatures[record.model].get(record.version), structs.asdict(record)
        if signature is not None:
            row["features"] = dict(zip(signature.names, row.pop("values"), strict=True))
            row["withheld"] = withheld_names(record, signature)
        yield row


@command("export")
@click.argument("model")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@_span
def export_journal(
    session: Session,
    model: str,
    out: Path,
    since: datetime | None,
    until: datetime | None,
    version: int | None,
) -> None:
    """Write what was recorded of MODEL to OUT: .parquet, .jsonl or .csv.

    A feature's column bears its name; all that Trimtab adds begins with an underscore.
    """
    began = time.monotonic()
    with session.deployment() as deployment:
        rows = write_export(
            deployment, model, out, since=_seconds(since), until=_seconds(until), version=version
        )
    seconds = time.monotonic() - began

    def show(console: Console) -> None:
        console.print(f"{rows:,} records of {model} in {seconds:.1f} s: wrote {out}")

    session.emit({"rows": rows, "file": str(out)}, show)


@command("compact")
def compact_journal(session: Session) -> None:
    """Move closed segments that the watcher has read to Parquet, by model and day.

    A running watcher does it by itself. Nothing is lost or there twice, whatever is killed meanwhile.
    """
    with session.deployment() as deployment:
        done = Upkeep(deployment, Metrics()).compact()

    def show(console: Console) -> None:
        records, size = sum(one.records for one in done), sum(one.size_bytes for one in done)
        console.print(
            f"{len(done):,} segment{'' if len(done) == 1 else 's'} compacted: {records:,} records, "
            f"{size:,} bytes to {sum(one.parts_bytes for one in done):,}"
        )

    session.emit(done, show)


@command("trim")
@click.option("--older-than-days", type=click.FloatRange(0), help="Instead of retain_days.")
@click.option("--max-bytes", type=click.IntRange(0), help="Instead of retain_bytes.")
@click.option("--force", is_flag=True, help="Also closed segments that the watcher has not read.")
def trim_journal(
    session: Session, older_than_days: float | None, max_bytes: int | None, force: bool
) -> None:
    """Remove what is older, or more, than is to be kept; a running watcher does it by itself.

    Without --force nothing goes that the watcher has not read; open segments never go.
    """
    with session.deployment() as deployment:
        gone = Upkeep(deployment, Metrics()).trim(
            days=older_than_days, size_bytes=max_bytes, force=force
        )

    def show(console: Console) -> None:
        size, unread = sum(one.size_bytes for one in gone), sum(one.unread for one in gone)
        said = f", {unread:,} of them unread" if unread else ""
        console.print(
            f"{len(gone):,} file{'' if len(gone) == 1 else 's'} removed, {size:,} bytes{said}"
        )

    session.emit(gone, show)


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


for subcommand in (verify_journal, cat_journal, export_journal, compact_journal, trim_journal):
    journal.add_command(subcommand)
