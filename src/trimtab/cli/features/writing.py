"""features push, get, materialise, consume."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import click
from rich.console import Console

from trimtab.cli import words
from trimtab.cli.progress import counted
from trimtab.cli.session import INPUT_STATUS, Session, command
from trimtab.config import ViewConfig, secret
from trimtab.errors import InvalidConfig, InvalidRequest, InvalidRow, NotFound
from trimtab.features.batches import rows_of
from trimtab.features.sent import csv_rows, json_lines
from trimtab.features.streams import StreamOptions
from trimtab.features.values import join_keys
from trimtab.features.writing import RowReader, Tally, Written, writable, write_rows
from trimtab.protocols import FeatureStore
from trimtab.store.columnar import kind_of, read_batches
from trimtab.types import StoredRow
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import open_store
from trimtab.wiring.views import served_features
from trimtab.wiring.writing import consume_stream, materialise_view


@command()
@click.argument("view")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--entity",
    "keys",
    multiple=True,
    help="Column of the key, one for each; the view's unless named.",
)
@click.option("--time", "time_column", help="Column of event times; now unless named.")
def push(
    session: Session, view: str, file: Path, keys: tuple[str, ...], time_column: str | None
) -> int:
    """Write the rows of FILE to VIEW's realtime store.

    FILE is Parquet, CSV or JSON lines, by its ending; - reads JSON lines from standard input. An older
    event never replaces a newer one, so a file may be sent again. A value that is not what the view
    declares is left out and counted. Exit status: 0 written, 2 bad input, or all rows refused.
    """
    began, tally = time.monotonic(), Tally()
    with session.deployment() as deployment:
        found = find_view(deployment, view)
        reader = RowReader(found, deployment.clock, time_column, keys)
        try:
            with _rows(file, found, reader, time_column) as rows:
                store = open_store(deployment, writable(found, view))
                asyncio.run(_write(store, view, rows, reader, tally))
        except InvalidRow:
            if tally.rows:  # what came before was written
                _emit(session, tally.written(), f"to {found.realtime}", time.monotonic() - began)
            raise
    written = tally.written()
    _emit(session, written, f"to {found.realtime}", time.monotonic() - began)
    return INPUT_STATUS if 0 < written.rows == written.refused else 0


@command()
@click.argument("view")
@click.option("--again", is_flag=True, help="Read all of the history, also what was read before.")
def materialise(session: Session, view: str, again: bool) -> None:
    """Write what is new in VIEW's history to its realtime store.

    Run it again after a failure: it goes on where it was. What was written twice changes nothing.
    """
    began = time.monotonic()
    with session.deployment() as deployment:
        found = find_view(deployment, view)
        with counted(session.console, "materialising") as progress:
            written = asyncio.run(
                materialise_view(deployment, view, again=again, progress=progress)
            )
    if not written.rows:
        session.note("nothing is new; --again fills a store that was emptied since.")
    _emit(session, written, f"from the history to {found.realtime}", time.monotonic() - began)


@command()
@click.argument("view")
@click.option(
    "--url",
    required=True,
    help="redis://host:port/database or kafka://host:port, or env:NAME or file:PATH.",
)
@click.option("--stream", required=True, help="The stream's key, or the topic.")
@click.option("--group", default="trimtab", show_default=True, help="The consumer group.")
@click.option("--consumer", help="This consumer's name; host and process unless named.")
@click.option("--time", "time_column", default="event_time", show_default=True)
@click.option("--claim-seconds", type=click.FloatRange(0, min_open=True), default=60.0)
@click.option("--until-empty", is_flag=True, help="End when nothing waits any more.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of librdkafka; the value may be env:NAME or file:PATH. Repeatable.",
)
def consume(
    session: Session,
    view: str,
    url: str,
    stream: str,
    group: str,
    consumer: str | None,
    time_column: str,
    claim_seconds: float,
    until_empty: bool,
    settings: tuple[str, ...],
) -> None:
    """Write the events of a Redis Stream or a Kafka topic to VIEW's realtime store, until stopped.

    An entry is a JSON object of keys, features and event time: the field `row` in Redis, the value in
    Kafka. Entries are acknowledged once they are stored; what a dead consumer left is taken over after
    --claim-seconds.
    """
    began = time.monotonic()
    asked = StreamOptions(
        url=_told(url),
        stream=stream,
        group=group,
        consumer=consumer or f"{socket.gethostname()}-{os.getpid()}",
        time_column=time_column,
        claim_seconds=claim_seconds,
        settings=_settings(settings),
    )
    with session.deployment() as deployment:
        found = find_view(deployment, view)
        if not until_empty:
            session.note(
                f"reading {stream} as {asked.consumer} of the group {group}  (Ctrl-C stops)"
            )
        written = asyncio.run(_consume(session, deployment, view, asked, until_empty=until_empty))
    _emit(session, written, f"from the stream to {found.realtime}", time.monotonic() - began)


@command()
@click.argument("view")
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
def get(session: Session, view: str, keys: tuple[str, ...]) -> None:
    """Show what the realtime and batch stores hold for one entity.

    An entity of several keys is named by all of them, in the view's order.
    """
    held: dict[str, StoredRow] = {}
    with session.deployment() as deployment:
        found = find_view(deployment, view)
        entity = _entity(view, found, keys)
        for name in filter(None, (found.realtime, found.batch)):
            row = asyncio.run(_read(open_store(deployment, name), view, entity))
            if row is not None:
                held[name] = StoredRow(values=dict(row.values), event_time=row.event_time)

    def show(console: Console) -> None:
        if not held:
            console.print(
                f"No store holds {', '.join(keys)!r} of {view!r}; defaults would be used."
            )
        for name, row in held.items():
            console.print(f"{name}, as of {words.moment(row.event_time)} UTC: {row.values}")

    session.emit(held, show)


def _entity(view: str, found: ViewConfig, keys: tuple[str, ...]) -> str:
    if len(keys) != len(found.keys):
        wanted = ", ".join(found.keys) or "none"
        raise InvalidRequest(
            f"The view {view!r} has other keys than the {len(keys)} given.",
            path="KEY",
            hint=f"Its keys: {wanted}.",
        )
    return join_keys(keys)


def _told(text: str) -> str:
    return secret(text) if text.startswith(("env:", "file:")) else text


def _settings(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise InvalidConfig(
                f"{pair!r} is no setting.", path="--set", hint="Write it as NAME=VALUE."
            )
        found[name] = _told(value)
    return found


def find_view(deployment: Deployment, name: str) -> ViewConfig:
    """A view that is served.

    Raises:
        NotFound: there is none of that name.
    """
    views = served_features(deployment).views
    if name not in views:
        known = ", ".join(sorted(views)) or "none"
        raise NotFound(f"There is no feature view {name!r}.", hint=f"Views: {known}.")
    return views[name]


@contextmanager
def _rows(
    file: Path, view: ViewConfig, reader: RowReader, time_column: str | None
) -> Iterator[Iterable[Mapping[str, Any]]]:
    """The rows of a file, or of standard input."""
    if str(file) == "-":
        yield json_lines(sys.stdin.buffer if hasattr(sys.stdin, "buffer") else io.BytesIO())
        return
    kind = kind_of(file)
    if kind == "parquet":
        yield rows_of(read_batches(file), reader.columns)
        return
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as content:
        if kind == "csv":
            text = io.TextIOWrapper(cast("IO[bytes]", content), encoding="utf-8-sig", newline="")
            yield csv_rows(text, view, reader.columns, time_column)
        else:
            yield json_lines(content)


async def _write(
    store: FeatureStore,
    view: str,
    rows: Iterable[Mapping[str, Any]],
    reader: RowReader,
    tally: Tally,
) -> None:
    try:
        await write_rows(store, view, rows, reader, tally)
    finally:
        await store.close()


async def _read(store: FeatureStore, view: str, entity: str) -> StoredRow | None:
    try:
        return (await store.read(view, [entity])).get(entity)
    finally:
        await store.close()


async def _consume(
    session: Session, deployment: Deployment, view: str, asked: StreamOptions, *, until_empty: bool
) -> Written:
    def told(refusal: str) -> None:
        if not until_empty:  # else the end is near, and tells it
            session.note(f"refused: {refusal}")

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await consume_stream(deployment, view, asked, stop, until_empty=until_empty, told=told)


def _emit(session: Session, written: Written, where: str, seconds: float) -> None:
    session.emit(written, lambda console: _show(console, written, where, seconds))


def _show(console: Console, written: Written, where: str, seconds: float) -> None:
    rate = written.rows / seconds if seconds > 0 else 0.0
    console.print(
        f"{_many(written.rows)} sent {where}, {written.kept:,} kept  "
        f"({seconds:.1f} s, {rate:,.0f}/s)"
    )
    if written.refused:
        console.print(f"{_many(written.refused)} refused")
    for feature, count in sorted(written.values_refused.items()):
        console.print(f"{count:,} {'value' if count == 1 else 'values'} of {feature} refused")
    for example in written.examples:
        console.print(f"  for example {example}", markup=False)


def _many(rows: int) -> str:
    return f"{rows:,} {'row' if rows == 1 else 'rows'}"
