"""Training sets of a deployment: events in a file, with what the views knew at their time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from trimtab import plugins
from trimtab.config import FeaturesConfig
from trimtab.errors import InvalidConfig, InvalidInput, NotFound
from trimtab.features.history import history_of
from trimtab.features.steps import plan_steps
from trimtab.features.training import TrainingPlan
from trimtab.store.columnar import read_batches, write_parquet
from trimtab.types import FeatureKind, FeatureSpec, Record, Signature, Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.views import served_features, versions_of

JOIN = "trimtab.features.asof:AsOfJoin"
CHUNK_ROWS = 1_000_000
METADATA = b"trimtab.views"


class TrainingOptions(Record, frozen=True):
    """What is joined, and how; see :class:`~trimtab.features.training.TrainingPlan`.

    ``views`` are all that are served unless named. ``chunk_rows`` events pass at a time.
    """

    views: tuple[str, ...] = ()
    time_column: str = "event_time"
    defaults: bool = True
    times: bool = False
    chunk_rows: int = CHUNK_ROWS


class TrainingFrame(Record, frozen=True):
    """What was written: rows, columns, and the digests of the views that were joined."""

    rows: int
    columns: tuple[str, ...]
    views: dict[str, str]


def join_views(
    deployment: Deployment,
    events: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    asked: TrainingOptions,
) -> tuple[pa.Schema, Iterator[pa.Table]]:
    """Events with the features that were known at their time, chunk by chunk, and their schema.

    Raises:
        NotFound: there is no such view, or it has no history.
        InvalidConfig: a view has no history, or polars is not installed.
        InvalidInput: columns of the events and the views do not fit together.
    """
    config = served_features(deployment)
    views = asked.views or tuple(config.views)
    plan = _plan(deployment, config, views, schema.names, asked)
    try:
        join: Any = plugins.by_path(JOIN)
    except InvalidConfig as missing:
        raise InvalidConfig(
            "Training sets need the package 'polars'.",
            hint="Install it: pip install 'trimtab[training]'.",
        ) from missing
    opened = join(plan)
    (empty,) = opened.join([pa.RecordBatch.from_pylist([], schema=schema)])
    told = msgspec.json.encode(versions_of(deployment, views))
    made = empty.schema.with_metadata({METADATA: told})
    return made, (table.cast(made) for table in opened.join(events))


def write_training_frame(
    deployment: Deployment,
    events: Path,
    out: Path,
    asked: TrainingOptions,
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005 - nobody looks
) -> TrainingFrame:
    """Join the views to a file of events, and write a Parquet file that is there whole or not at all.

    Args:
        deployment: Whose views are joined.
        events: Parquet, CSV or JSON lines.
        out: The Parquet file.
        asked: What is joined, and how.
        progress: Called with rows done; the total is 0 where it is not known.

    Raises:
        InvalidInput: the files and the views do not fit together.
        Unavailable: a file cannot be read or written.
    """
    batches = read_batches(events, asked.chunk_rows)
    first = next(batches, None)
    if first is None:
        raise InvalidInput(
            f"{str(events)!r} has no events.", code="no_events", hint="Is it the right file?"
        )
    schema, tables = join_views(deployment, _chain(first, batches), first.schema, asked)
    total = _rows(events)

    def counted() -> Iterator[pa.RecordBatch]:
        done = 0
        for table in tables:
            yield from table.to_batches()
            done += table.num_rows
            progress(done, total)

    progress(0, total)
    rows = write_parquet(out, schema, counted())
    return TrainingFrame(
        rows=rows,
        columns=tuple(schema.names),
        views=msgspec.json.decode(schema.metadata[METADATA], type=dict[str, str]),
    )


def _plan(
    deployment: Deployment,
    config: FeaturesConfig,
    views: Sequence[str],
    columns: Sequence[str],
    asked: TrainingOptions,
) -> TrainingPlan:
    unknown = [name for name in views if name not in config.views]
    if unknown or not views:
        known = ", ".join(sorted(config.views)) or "none"
        raise NotFound(
            f"There is no feature view {unknown[0]!r}." if unknown else "There is no feature view.",
            code="unknown_view",
            hint=f"Views: {known}.",
        )
    found = {name: config.views[name] for name in dict.fromkeys(views)}
    made = [step for view in found.values() for step in view.transforms]
    names = dict.fromkeys([*(step.name for step in made), *columns])
    kinds = {step.name: FeatureKind(step.kind) for step in made}
    signature = Signature(
        features=tuple(
            FeatureSpec(name=name, kind=kinds.get(name, FeatureKind.NUMERIC), nullable=True)
            for name in names
        ),
        task=Task.BINARY,
    )
    steps, inputs = plan_steps(found, signature)
    histories = {
        name: history_of(config, name, deployment.dir)
        for name, view in found.items()
        if view.features
    }
    for name, history in histories.items():
        if history.joined:
            raise InvalidConfig(
                f"The view {name!r} has several keys, and its history has them in one column.",
                code="keys_in_one_column",
                path=f"features.views.{name}.history",
                hint="Name a history with a column for each key.",
            )
    return TrainingPlan(
        time_column=asked.time_column,
        views=found,
        histories=histories,
        steps=steps,
        slots=(*signature.names, *(spec.name for spec in inputs)),
        defaults=asked.defaults,
        times=asked.times,
    )


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def _rows(events: Path) -> int:
    """How many rows a Parquet file has; 0 where only reading would tell."""
    if events.suffix not in {".parquet", ".pq"}:
        return 0
    with pa.parquet.ParquetFile(events) as file:
        return int(file.metadata.num_rows)
