"""Rows of a file, chunk by chunk: Parquet, CSV or JSON lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from trimtab.errors import InvalidInput
from trimtab.types import FeatureKind, Signature

Row = Mapping[str, Any]

MISSING = ("", "NA", "NaN", "nan", "NULL", "null")
"""What a CSV cell may say for a missing value."""

_PROBED_LINES = 1_000
_CSV_TYPES = {
    FeatureKind.NUMERIC: pa.float64(),
    FeatureKind.INTEGER: pa.float64(),
    FeatureKind.BOOLEAN: pa.bool_(),
    FeatureKind.CATEGORICAL: pa.string(),
}


class Source(Protocol):
    """A file of rows."""

    columns: tuple[str, ...]

    def count(self) -> int:
        """How many rows there are."""
        ...

    def type_of(self, column: str) -> pa.DataType:
        """How the column's values are written to the output."""
        ...

    def chunks(self, columns: Sequence[str], size: int, skip: int) -> Iterator[list[Row]]:
        """The rows behind the first ``skip``, ``size`` at a time; a missing value is None."""
        ...


def open_source(path: Path, signature: Signature) -> Source:
    """The file as a source of rows, by its suffix.

    Raises:
        InvalidInput: no such file, an unknown suffix, or a file that is not what its suffix says.
    """
    if not path.is_file():
        raise InvalidInput(f"There is no input file {str(path)!r}.", code="input_not_found")
    suffix = path.suffix.lower()
    try:
        if suffix in {".parquet", ".pq"}:
            return ParquetSource(path)
        if suffix == ".csv":
            return CsvSource(path, signature)
        if suffix in {".jsonl", ".ndjson"}:
            return JsonLinesSource(path)
    except (pa.ArrowInvalid, UnicodeDecodeError) as wrong:
        raise _unreadable(path, wrong) from wrong
    raise InvalidInput(
        f"The input {path.name!r} is of an unknown kind.",
        code="unknown_input",
        hint="Use .parquet, .csv or .jsonl.",
    )


class ParquetSource:
    """A Parquet file; its own metadata says how many rows it has."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with pq.ParquetFile(path) as file:
            self._schema = file.schema_arrow
            self._rows = file.metadata.num_rows
        self.columns = tuple(self._schema.names)

    def count(self) -> int:
        """How many rows there are."""
        return int(self._rows)

    def type_of(self, column: str) -> pa.DataType:
        """The file's own type."""
        return self._schema.field(column).type

    def chunks(self, columns: Sequence[str], size: int, skip: int) -> Iterator[list[Row]]:
        """The rows behind the first ``skip``."""
        with pq.ParquetFile(self._path) as file:
            yield from _rows(file.iter_batches(size, columns=list(columns)), size, skip)


class CsvSource:
    """A CSV file with a header; features are read as their kind says, all else as Arrow infers."""

    def __init__(self, path: Path, signature: Signature) -> None:
        self._path = path
        self._types = {feature.name: _CSV_TYPES[feature.kind] for feature in signature.features}
        with pacsv.open_csv(path) as file:
            self.columns = tuple(file.schema.names)

    def count(self) -> int:
        """How many rows there are; reads the file once.

        Raises:
            InvalidInput: a line has too few or too many cells.
        """
        try:
            with self._open(self.columns[:1]) as file:
                return sum(batch.num_rows for batch in file)
        except pa.ArrowInvalid as wrong:
            raise _unreadable(self._path, wrong) from wrong

    def type_of(self, column: str) -> pa.DataType:
        """A feature's own type, else text: what Arrow infers may change with the file's start."""
        return self._types.get(column, pa.string())

    def chunks(self, columns: Sequence[str], size: int, skip: int) -> Iterator[list[Row]]:
        """The rows behind the first ``skip``.

        Raises:
            InvalidInput: a cell is not of its column's type.
        """
        try:
            with self._open(columns) as file:
                yield from _rows(file, size, skip)
        except pa.ArrowInvalid as wrong:
            raise _unreadable(self._path, wrong) from wrong

    def _open(self, columns: Sequence[str]) -> Any:
        options = pacsv.ConvertOptions(
            column_types={name: self.type_of(name) for name in columns},
            include_columns=list(columns),
            null_values=list(MISSING),
            strings_can_be_null=True,
        )
        return pacsv.open_csv(self._path, convert_options=options)


class JsonLinesSource:
    """A file with one JSON object a line; an absent key is a missing value."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            probed = [self._decode(line, i) for i, line in enumerate(islice(file, _PROBED_LINES))]
        self.columns = tuple(dict.fromkeys(name for row in probed for name in row))

    def count(self) -> int:
        """How many rows there are; reads the file once."""
        with self._path.open("rb") as file:
            return sum(1 for line in file if line.strip())

    def type_of(self, column: str) -> pa.DataType:
        """Text: a JSON column has no type of its own."""
        del column
        return pa.string()

    def chunks(self, columns: Sequence[str], size: int, skip: int) -> Iterator[list[Row]]:
        """The rows behind the first ``skip``.

        Raises:
            InvalidInput: a line is no JSON object.
        """
        with self._path.open("rb") as file:
            found = (self._decode(line, i) for i, line in enumerate(file) if line.strip())
            rest = islice(found, skip, None)
            while chunk := list(islice(rest, size)):
                yield [{name: row.get(name) for name in columns} for row in chunk]

    def _decode(self, line: bytes, index: int) -> dict[str, Any]:
        if not line.strip():
            return {}
        try:
            return msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as wrong:
            raise InvalidInput(
                f"Line {index + 1} of {self._path.name!r} is no JSON object: {wrong}.",
                code="unreadable_input",
                path=f"{self._path.name}:{index + 1}",
            ) from wrong


@dataclass(slots=True)
class _Rest:
    """Batches cut to equal size: what is left over from one begins the next."""

    table: pa.Table | None = None

    def put(self, batch: pa.RecordBatch) -> int:
        """Add a batch; how many rows wait."""
        added = pa.Table.from_batches([batch])
        self.table = added if self.table is None else pa.concat_tables([self.table, added])
        return int(self.table.num_rows)

    def take(self, size: int) -> list[Row]:
        """The first ``size`` rows."""
        if self.table is None:
            return []
        head, self.table = self.table.slice(0, size), self.table.slice(size)
        return [{name: _plain(value) for name, value in row.items()} for row in head.to_pylist()]


def _rows(batches: Iterable[pa.RecordBatch], size: int, skip: int) -> Iterator[list[Row]]:
    rest = _Rest()
    for batch in batches:
        passed = min(skip, batch.num_rows)
        skip -= passed
        waiting = rest.put(batch.slice(passed))
        while waiting >= size:
            yield rest.take(size)
            waiting -= size
    if left := rest.take(size):
        yield left


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _unreadable(path: Path, wrong: Exception) -> InvalidInput:
    return InvalidInput(
        f"{path.name!r} cannot be read: {wrong}.", code="unreadable_input", path=str(path)
    )
