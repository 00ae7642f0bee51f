"""The journal, composed: where it stands, what reads it, and files made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import csv

from trimtab.config import Config
from trimtab.errors import InvalidInput, NotFound
from trimtab.record.reader import SegmentReader
from trimtab.record.table import joint_batches, joint_schema
from trimtab.store.columnar import write_parquet
from trimtab.store.durable import commit, new_file
from trimtab.telemetry import Metrics
from trimtab.types import PredictionRecord
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.recording import signatures_of

EXPORTS = (".parquet", ".jsonl", ".csv")
Batches = Iterable[pa.RecordBatch]


def journal_dir(config: Config) -> Path:
    """Where the journal of a configuration stands; for what needs no database."""
    return Path(config.state.dir).resolve() / "journal"


def recorded(
    deployment: Deployment,
    model: str | None = None,
    *,
    since: float | None = None,
    until: float | None = None,
    version: int | None = None,
) -> Iterator[PredictionRecord]:
    """What the journal has, in the order of recording.

    Args:
        deployment: Whose journal.
        model: The only model wanted.
        since: Event time from which on, inclusive.
        until: Event time before which, exclusive.
        version: The only version wanted.
    """
    reader = SegmentReader(deployment.journal_dir, Metrics())
    for record in reader.records(since, until, model):
        if version is None or record.version == version:
            yield record


def export(
    deployment: Deployment,
    model: str,
    out: Path,
    *,
    since: float | None = None,
    until: float | None = None,
    version: int | None = None,
) -> int:
    """Write what was recorded of a model to a file that is there whole, or not at all; its rows.

    Args:
        deployment: Whose journal.
        model: The model.
        out: ``.parquet``, ``.jsonl`` or ``.csv``.
        since: Event time from which on, inclusive.
        until: Event time before which, exclusive.
        version: The only version wanted.

    Raises:
        InvalidInput: another suffix.
        NotFound: no such model or version.
        Unavailable: the disk refuses.
    """
    write = _writer(out)
    signatures = signatures_of(deployment, model)
    if version is not None:
        signatures = {n: s for n, s in signatures.items() if n == version}
    if not signatures:
        what = f"model {model!r}" if version is None else f"version {version} of {model!r}"
        raise NotFound(f"There is no {what}.", hint="`trimtab list` shows what there is.")
    records = recorded(deployment, model, since=since, until=until, version=version)
    return write(out, joint_schema(signatures.values()), joint_batches(records, signatures))


def _writer(out: Path) -> Callable[[Path, pa.Schema, Batches], int]:
    for suffix, write in zip(EXPORTS, (write_parquet, _write_lines, _write_csv), strict=True):
        if out.name.lower().endswith(suffix):
            return write
    raise InvalidInput(
        f"{str(out)!r} is of no format that is written.",
        hint=f"Let it end in {', '.join(EXPORTS)}.",
        code="unknown_format",
    )


def _write_lines(path: Path, _schema: pa.Schema, batches: Batches) -> int:
    rows = 0
    encode = msgspec.json.Encoder().encode
    with new_file(path.parent) as (file, part):
        for batch in batches:
            for row in batch.to_pylist():
                row["_entities"] = dict(row["_entities"])
                file.write(encode(row) + b"\n")
            rows += batch.num_rows
        commit(file, part, path)
    return rows


def _write_csv(path: Path, schema: pa.Schema, batches: Batches) -> int:
    """Lists and entities are written as JSON text."""
    rows = 0
    nested = [at for at, field in enumerate(schema) if pa.types.is_nested(field.type)]
    flat = schema
    for at in nested:
        flat = flat.set(at, pa.field(schema.field(at).name, pa.string()))
    with new_file(path.parent) as (file, part):
        with csv.CSVWriter(file, flat) as writer:
            for batch in batches:
                columns = list(batch.columns)
                for at in nested:
                    shape = dict if pa.types.is_map(columns[at].type) else list
                    cells = columns[at].to_pylist()
                    texts = [None if cell is None else _text(shape(cell)) for cell in cells]
                    columns[at] = pa.array(texts, pa.string())
                writer.write_batch(pa.record_batch(columns, schema=flat))
                rows += batch.num_rows
        commit(file, part, path)
    return rows


def _text(cell: dict[str, str] | list[Any]) -> str:
    return msgspec.json.encode(cell).decode()
