"""Compacted segments: Parquet files, one a segment, model, day and version, that give back each record exactly.

``parts/trimtab_model=<model>/trimtab_day=<YYYY-MM-DD>/<segment>.<version>.parquet`` below the journal. The day
is that of recording, in UTC, not of the event: so files stay few when a client replays a year, and age out in
the order in which they came. Columns are those of :func:`~trimtab.record.table.table`, with two more: the record's
place in its segment, and its own bytes where columns could not give it back exactly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from trimtab.errors import Unavailable
from trimtab.record.arrow import columns_of
from trimtab.record.table import FIELDS, KINDS
from trimtab.recordtable import Places, RecordTable
from trimtab.types import PredictionRecord, Signature

PARTS, SUFFIX = "parts", ".parquet"
ROW_GROUP_ROWS = 20_000
BATCH_ROWS = 2_000
DAY_SECONDS = 86_400


def _default(field: msgspec.structs.FieldInfo) -> Any:
    """What a field is in a record that was written before there was such a field."""
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


_PLACE, _RAW = "_place", "_raw"
_OWN = [(f"_{name}", kind) for name, kind in FIELDS.items()]
_EXTRA = [(_PLACE, pa.int64()), (_RAW, pa.binary())]
_DEFAULTS: dict[str, Callable[[], Any]] = {
    field.name: partial(_default, field) for field in msgspec.structs.fields(PredictionRecord)
}


class Placed(NamedTuple):
    """A record and its place in its segment, counted from 0."""

    place: int
    record: PredictionRecord


class Span(NamedTuple):
    """Which records are wanted; None leaves it open. Times are event times, ``until`` is exclusive."""

    since: float | None = None
    until: float | None = None
    model: str | None = None

    def takes(self, record: PredictionRecord) -> bool:
        """Whether a record is wanted."""
        return (
            (self.model is None or record.model == self.model)
            and (self.since is None or record.event_time >= self.since)
            and (self.until is None or record.event_time < self.until)
        )


class PartFile:
    """One part while it is written: under a hidden name, until it is published.

    The names follow from the segment alone, so a second attempt writes over what a first one left.

    Args:
        folder: The journal's ``parts``.
        stem: The segment's name without its ending.
        key: Model, day and version.
        signature: Names and kinds of the values; None if the version is not known.

    Raises:
        OSError: the disk refuses.
    """

    def __init__(
        self, folder: Path, stem: str, key: tuple[str, str, int], signature: Signature | None
    ) -> None:
        model, day, version = key
        place = folder / f"trimtab_model={quote(model, safe='')}" / f"trimtab_day={day}"
        place.mkdir(parents=True, exist_ok=True)
        self.path = place / f"{stem}.{version}{SUFFIX}"
        self._hidden = place / f".{stem}.{version}.part"
        self._specs = _usable(signature)
        features = [(spec.name, KINDS[spec.kind]) for spec in self._specs or ()]
        self._schema = pa.schema([*_OWN, *_EXTRA, *features])
        self._file = self._hidden.open("wb")
        self._writer = parquet.ParquetWriter(
            self._file,
            self._schema,
            compression="zstd",
            use_dictionary=_repeating(self._schema),
            write_page_checksum=True,
        )
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, records: RecordTable, places: Places) -> None:
        """Take records more, in the order of their places in the segment."""
        self._waiting.append(columns_of(records, places, self._specs, self._schema))
        self._rows += len(records)
        if self._rows >= ROW_GROUP_ROWS:
            self._flush()

    def finish(self) -> None:
        """Bring all to disk, still hidden."""
        self._flush()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def publish(self) -> None:
        """Give it its name, durably."""
        self._hidden.replace(self.path)
        for folder in (self.path.parent, *self.path.parents[1:4]):
            sync_folder(folder)

    def discard(self) -> None:
        """Give up what was written and is not published; without effect on what is."""
        with suppress(OSError):  # what a full disk says a second time
            self._writer.close()
        self._writer.is_open = False
        with suppress(OSError):
            self._file.close()
        self._hidden.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=self._rows)
            self._waiting, self._rows = [], 0


def days_of(records: RecordTable) -> Places:
    """The UTC day on which each record was made, counted from 1970."""
    return np.floor(records.floats("wall_time") / DAY_SECONDS).astype(np.int64)


def name_of(day: int) -> str:
    """A day as ``YYYY-MM-DD``."""
    return datetime.fromtimestamp(day * DAY_SECONDS, UTC).strftime("%Y-%m-%d")


def stem_of(part: Path) -> str:
    """The segment, without its ending, that a part was made from."""
    return part.name.removesuffix(SUFFIX).rpartition(".")[0]


def part_files(journal: Path, stem: str = "*") -> list[Path]:
    """The published parts of a journal, or of one segment."""
    return sorted((journal / PARTS).glob(f"trimtab_model=*/trimtab_day=*/{stem}.*{SUFFIX}"))


def read_part(path: Path, span: Span) -> Iterator[Placed]:
    """The records of a part that are wanted, in order.

    Raises:
        FileNotFoundError: it is not there.
        Unavailable: it is damaged.
    """
    if span.model is not None and path.parents[1].name != (
        f"trimtab_model={quote(span.model, safe='')}"
    ):
        return
    decoder = msgspec.msgpack.Decoder(PredictionRecord)
    group, groups = 0, 1
    while group < groups:  # opened anew for each: a reader of many parts holds none of them open
        with _reading(path), path.open("rb") as file:
            part = parquet.ParquetFile(file, page_checksum_verification=True)
            groups = part.num_row_groups
            held = part.read_row_group(group).to_batches() if _may_hold(part, group, span) else []
        for batch in held:
            for start in range(0, batch.num_rows, BATCH_ROWS):
                for placed in _placed(batch.slice(start, BATCH_ROWS), decoder):
                    if span.takes(placed.record):
                        yield placed
        group += 1


def rows_of(path: Path) -> int:
    """How many records a part holds, each page of it read and checked.

    Raises:
        Unavailable: it is damaged.
    """
    with _reading(path), path.open("rb") as file:
        part = parquet.ParquetFile(file, page_checksum_verification=True)
        return sum(batch.num_rows for batch in part.iter_batches(batch_size=BATCH_ROWS))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as failed:
        raise Unavailable(
            f"The compacted part {str(path)!r} cannot be read: {str(failed).partition(chr(10))[0]}.",
            hint="`trimtab journal verify` lists all that is damaged; restore it from a backup.",
            code="journal_part_damaged",
        ) from failed


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _may_hold(part: parquet.ParquetFile, group: int, span: Span) -> bool:
    columns = part.metadata.row_group(group)
    stats = columns.column(list(FIELDS).index("event_time")).statistics
    if stats is None or not stats.has_min_max:
        return True
    return (span.since is None or stats.max >= span.since) and (
        span.until is None or stats.min < span.until
    )


def _placed(batch: pa.RecordBatch, decoder: Any) -> Iterator[Placed]:
    columns = [column.to_pylist() for column in batch.columns]
    place = {name: at for at, name in enumerate(batch.schema.names)}
    fixed = place[_RAW] + 1
    features = columns[fixed:]
    values = list(zip(*features, strict=True)) if features else [()] * batch.num_rows
    fields = []
    for name, default in _DEFAULTS.items():
        if name == "values":
            fields.append(values)
        elif f"_{name}" in place:
            fields.append([_restored(name, cell) for cell in columns[place[f"_{name}"]]])
        else:  # written before there was such a field
            fields.append([default()] * batch.num_rows)
    make: Any = PredictionRecord
    rows = zip(columns[place[_PLACE]], columns[place[_RAW]], zip(*fields, strict=True), strict=True)
    for at, raw, row in rows:
        yield Placed(at, make(*row) if raw is None else decoder.decode(raw))


def _restored(name: str, cell: Any) -> Any:
    kind = FIELDS[name]
    if pa.types.is_map(kind):
        return dict(cell)
    return tuple(cell) if pa.types.is_list(kind) and cell is not None else cell


def _repeating(schema: pa.Schema) -> list[str]:
    """The columns of texts and whole numbers that repeat. A dictionary of floats or ids is written in vain."""
    once = {"_prediction_id", "_request_id", _PLACE}
    return [
        field.name
        for field in schema
        if field.name not in once
        and (pa.types.is_string(field.type) or pa.types.is_integer(field.type))
    ]


def _usable(signature: Signature | None) -> Sequence[Any] | None:
    """The specs whose names can be columns beside Trimtab's own; None if they clash."""
    if signature is None:
        return None
    taken = {name for name, _ in [*_OWN, *_EXTRA]} | {"trimtab_model", "trimtab_day"}
    names = signature.names
    clash = len(set(names)) < len(names) or not taken.isdisjoint(names)
    return None if clash else signature.features
