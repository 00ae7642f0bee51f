"""features push, get."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click
from rich.console import Console

from trimtab.cli import words
from trimtab.cli.session import Session, command
from trimtab.config import Config, ViewConfig
from trimtab.errors import NotFound
from trimtab.features.values import join_keys
from trimtab.protocols import FeatureStore
from trimtab.store.columnar import read_frame
from trimtab.types import StoredRow
from trimtab.wiring.serving import open_store

BATCH_ROWS = 1_000


@command()
@click.argument("view")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--entity", help="Column of entity keys; the view's entity unless named.")
@click.option("--time", "time_column", help="Column of event times; now unless named.")
def push(
    session: Session, view: str, file: Path, entity: str | None, time_column: str | None
) -> None:
    """Write the rows of FILE to VIEW's realtime store; an older event never replaces a newer one."""
    config = session.config()
    found = _view(config, view)
    keys = (entity,) if entity else found.keys
    names = [feature.name for feature in found.features]
    columns = [*keys, *names, *([time_column] if time_column else [])]
    rows = read_frame(file, columns).to_pylist()
    now = time.time()
    stored = [
        (
            join_keys(tuple(str(row[key]) for key in keys)),
            StoredRow(
                values={name: row[name] for name in names},
                event_time=row[time_column] if time_column else now,
            ),
        )
        for row in rows
    ]
    with session.deployment() as deployment:
        kept = asyncio.run(_write(open_store(deployment, found.realtime), view, stored))
    session.emit(
        {"rows": len(rows), "kept": kept},
        lambda console: console.print(
            f"{len(rows):,} rows sent to {found.realtime}, {kept:,} kept"
        ),
    )


@command()
@click.argument("view")
@click.argument("entity")
def get(session: Session, view: str, entity: str) -> None:
    """Show what the realtime and batch stores hold for ENTITY."""
    config = session.config()
    found = _view(config, view)
    held: dict[str, StoredRow] = {}
    with session.deployment() as deployment:
        for name in filter(None, (found.realtime, found.batch)):
            row = asyncio.run(_read(open_store(deployment, name), view, entity))
            if row is not None:
                held[name] = row

    def show(console: Console) -> None:
        if not held:
            console.print(f"No store holds {entity!r} of {view!r}; defaults would be used.")
        for name, row in held.items():
            console.print(f"{name}, as of {words.moment(row.event_time)} UTC: {dict(row.values)}")

    session.emit(held, show)


def _view(config: Config, name: str) -> ViewConfig:
    if name not in config.features.views:
        known = ", ".join(config.features.views) or "none"
        raise NotFound(f"There is no feature view {name!r}.", hint=f"Configured: {known}.")
    return config.features.views[name]


async def _write(store: FeatureStore, view: str, rows: list[tuple[str, StoredRow]]) -> int:
    try:
        kept = 0
        for start in range(0, len(rows), BATCH_ROWS):
            batch: dict[str, StoredRow] = {}
            for entity, row in rows[start : start + BATCH_ROWS]:
                if entity not in batch or row.event_time >= batch[entity].event_time:
                    batch[entity] = row
            kept += await store.write(view, batch)
        return kept
    finally:
        await store.close()


async def _read(store: FeatureStore, view: str, entity: str) -> StoredRow | None:
    try:
        return (await store.read(view, [entity])).get(entity)
    finally:
        await store.close()
