"""Frames in files: Parquet, CSV and JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, json, parquet

from trimtab.errors import InvalidInput, NotFound, Unavailable
from trimtab.store.durable import commit, new_file

SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".jsonl": "lines",
    ".ndjson": "lines",
}
BATCH_ROWS = 65_536
_BLOCK_BYTES = 16 << 20
_CSV = csv.ConvertOptions(strings_can_be_null=True)  # an empty cell, NA or NaN is missing, any type


def read_frame(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A whole file.

    Args:
        path: ``.parquet``, ``.pq``, ``.csv``, ``.csv.gz``, ``.jsonl`` or ``.ndjson``.
        columns: The columns to read, in this order; None reads all.

    Raises:
        NotFound: no such file.
        InvalidInput: another suffix, content that is not what the suffix says, or no such column.
        Unavailable: the file cannot be read.
    """
    kind = kind_of(path)
    with _reading(path):
        if kind == "parquet":
            with parquet.ParquetFile(path) as file:
                known = file.schema_arrow.names
                _check_columns(path, known, columns)
                table = file.read(columns=None if columns is None else list(columns))
        elif kind == "csv":
            table = csv.read_csv(path, convert_options=_CSV)
        else:
            table = json.read_json(path)
        _check_columns(path, table.column_names, columns)
        return table if columns is None else table.select(list(columns))


def read_batches(path: Path, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """A file piece by piece, in constant memory.

    Args:
        path: ``.parquet``, ``.pq``, ``.csv``, ``.csv.gz``, ``.jsonl`` or ``.ndjson``.
        rows: The most rows in one piece.

    Raises:
        NotFound: no such file.
        InvalidInput: another suffix, or content that is not what the suffix says. The types of CSV
            and JSON columns are those of the first 16 MiB.
        Unavailable: the file cannot be read.
    """
    kind = kind_of(path)
    with _reading(path):
        if kind == "parquet":
            with parquet.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=rows)
        elif kind == "csv":
            options = csv.ReadOptions(block_size=_BLOCK_BYTES)
            with csv.open_csv(path, read_options=options, convert_options=_CSV) as reader:
                yield from _sliced(reader, rows)
        else:
            yield from _sliced(_json_blocks(path), rows)


def rows_in(path: Path) -> int | None:
    """How many rows a file has, where it says so itself; None for CSV and JSON lines.

    Raises:
        NotFound: no such file.
        InvalidInput: another suffix, or content that is not what the suffix says.
    """
    if kind_of(path) != "parquet":
        return None
    with _reading(path), parquet.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def write_parquet(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write a Parquet file that is there whole, or not at all; how many rows it has.

    Args:
        path: The file; one that is there is replaced.
        schema: The columns of every batch.
        batches: The rows, in order.

    Raises:
        Unavailable: the disk refuses.
    """
    rows = 0
    with new_file(path.parent) as (file, part):
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        commit(file, part, path)
    return rows


def _json_blocks(path: Path) -> Iterator[pa.RecordBatch]:
    options: json.ParseOptions | None = None
    with path.open("rb") as file:
        while lines := file.readlines(_BLOCK_BYTES):
            table = json.read_json(pa.BufferReader(b"".join(lines)), parse_options=options)
            options = json.ParseOptions(
                explicit_schema=table.schema, unexpected_field_behavior="error"
            )
            yield from table.to_batches()


def _sliced(reader: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def kind_of(path: Path) -> str:
    """``parquet``, ``csv`` or ``lines``, by the file's name.

    Raises:
        NotFound: no such file.
        InvalidInput: another suffix.
    """
    if not path.is_file():
        raise NotFound(
            f"There is no file {str(path)!r}.", hint="Check the path.", code="file_not_found"
        )
    for suffix, kind in SUFFIXES.items():
        if path.name.lower().endswith(suffix):
            return kind
    raise InvalidInput(
        f"{str(path)!r} is of no known format.",
        hint=f"Known endings: {', '.join(SUFFIXES)}.",
        code="unknown_format",
    )


def _check_columns(path: Path, known: Sequence[str], columns: Sequence[str] | None) -> None:
    missing = [name for name in columns or () if name not in known]
    if missing:
        raise InvalidInput(
            f"{str(path)!r} has no column {', '.join(map(repr, missing))}.",
            hint=f"It has: {', '.join(known)}.",
            code="unknown_column",
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as failed:
        said = str(failed).partition("\n")[0].rstrip(".")
        if isinstance(failed, OSError) and failed.errno is not None:
            raise Unavailable(
                f"{str(path)!r} cannot be read: {said}.",
                hint="Check its permissions and the disk.",
                code="file_unreadable",
            ) from failed
        raise InvalidInput(
            f"{str(path)!r} cannot be read: {said}.",
            hint="Is it whole, and of the format that its ending says?",
            code="unreadable_file",
        ) from failed
