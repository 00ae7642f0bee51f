"""Features in Parquet files: the batch snapshot that a nightly job leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.config import NonNegative, Section, StoreConfig, convert
from trimtab.errors import Refused, Unavailable
from trimtab.features.threads import DaemonPool
from trimtab.log_events import Event
from trimtab.protocols import Clock
from trimtab.types import FloatArray, StoredRow

logger = logging.getLogger(__name__)

_CHUNK = 256

Stamp = tuple[int, int, int]


class ParquetOptions(Section, frozen=True):
    """What ``[features.stores.<name>.options]`` may say.

    ``entity_column`` holds the key. ``event_time_column``, a timestamp or Unix seconds, may be absent:
    then a row is as old as its file. Files are looked at again after ``check_seconds``.
    """

    entity_column: str = "entity"
    event_time_column: str = "event_time"
    check_seconds: NonNegative = 1.0


def create(config: StoreConfig, state_dir: Path, clock: Clock) -> ParquetStore:
    """The files in the folder ``url``, or in ``features`` of the state directory.

    Raises:
        InvalidConfig: an option cannot be used.
    """
    folder = Path(config.url) if config.url else state_dir / "features"
    return ParquetStore(folder, clock, convert(config.options, ParquetOptions))


class ParquetStore:
    """One file ``<view>.parquet`` a view, held in memory and swapped whole when it changes.

    A file is read in a thread while the rows of the last one are still served, and a file that
    cannot be read changes nothing but ``ping`` and the log. Replace a file by moving a new one over
    it. Of rows with one entity the newest counts.

    Args:
        folder: Where the files are.
        clock: Monotonic time.
        options: Names of columns, and how often to look.
    """

    def __init__(self, folder: Path, clock: Clock, options: ParquetOptions) -> None:
        self._folder = folder
        self._clock = clock
        self._options = options
        self._pool = DaemonPool("parquet", lambda _: None, threads=1)
        self._snapshots: dict[str, _Snapshot] = {}
        self._stamps: dict[str, Stamp] = {}
        self._troubles: dict[str, str] = {}
        self._checked: dict[str, float] = {}
        for path in sorted(folder.glob("*.parquet")):
            self._refresh(unquote(path.stem))

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that exist, in order; lets others run between many.

        Does not touch the disk itself.
        """
        now = self._clock.monotonic()
        if now - self._checked.get(view, float("-inf")) >= self._options.check_seconds:
            self._checked[view] = now
            self._pool.submit(self._refresh, view)
        snapshot = self._snapshots.get(view)
        if snapshot is None:
            return {}
        found = dict(snapshot.rows(entities[:_CHUNK]))
        for start in range(_CHUNK, len(entities), _CHUNK):
            await asyncio.sleep(0)
            found |= snapshot.rows(entities[start : start + _CHUNK])
        return found

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Refuse: a snapshot is replaced, not written to.

        Raises:
            Refused: always.
        """
        raise Refused(
            f"{len(rows)} rows of the view {view!r} cannot be written to a Parquet snapshot.",
            code="store_read_only",
            hint=f"Move a new file over {str(self._path(view))!r}.",
        )

    async def refresh(self, view: str) -> None:
        """Look at a view's file now, and return when its rows are served."""
        await asyncio.wrap_future(self._pool.submit(self._refresh, view))

    async def ping(self) -> None:
        """Return if every file could be read when it was last looked at.

        Raises:
            Unavailable: the folder is missing, or a file could not be read.
        """
        trouble = next(iter(self._troubles.values()), None)
        if trouble is None and not self._folder.is_dir():
            trouble = f"There is no folder {str(self._folder)!r}."
        if trouble is not None:
            raise Unavailable(
                trouble,
                code="store_unavailable",
                hint="Write the file anew; until then the rows read last are served.",
            )

    async def close(self) -> None:
        """Let the reading thread end; idempotent."""
        self._pool.close()

    def _path(self, view: str) -> Path:
        return self._folder / f"{quote(view, safe=' ')}.parquet"

    def _refresh(self, view: str) -> None:
        path = self._path(view)
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._stamps.get(view) == stamp:
                return
            self._stamps[view] = stamp
            self._snapshots[view] = _load(path, self._options, status.st_mtime)
            self._troubles.pop(view, None)
        except (pa.ArrowException, OSError, KeyError, ValueError) as wrong:
            trouble = f"The file {str(path)!r} cannot be read: {wrong}."
            if self._troubles.get(view) != trouble:
                logger.warning(Event.STORE_FAILED, extra={"view": view, "reason": trouble})
            self._troubles[view] = trouble


class _Snapshot:
    """A file's rows as Arrow columns, found by entity."""

    def __init__(self, table: pa.Table, times: FloatArray, places: Mapping[str, int]) -> None:
        self._table = table
        self._times = times
        self._places = places

    def rows(self, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that exist, in order."""
        found = {entity: self._places[entity] for entity in entities if entity in self._places}
        if not found:
            return {}
        values = self._table.take(list(found.values())).to_pylist()
        return {
            entity: StoredRow(values=row, event_time=float(self._times[place]))
            for (entity, place), row in zip(found.items(), values, strict=True)
        }


def _load(path: Path, options: ParquetOptions, modified: float) -> _Snapshot:
    table = pq.read_table(path, partitioning=None).combine_chunks()
    entities = table.column(options.entity_column).to_pylist()
    table = table.drop_columns([options.entity_column])
    times = np.full(table.num_rows, modified)
    if options.event_time_column in table.column_names:
        times = _seconds(table.column(options.event_time_column), modified)
        table = table.drop_columns([options.event_time_column])
    oldest_first = np.argsort(times, kind="stable").tolist()
    places = {str(entities[at]): at for at in oldest_first if entities[at] is not None}
    return _Snapshot(table, times, places)


def _seconds(column: pa.ChunkedArray, modified: float) -> FloatArray:
    """Event times as Unix seconds; where there is none, the file's own."""
    scale = 1.0
    if pa.types.is_temporal(column.type):
        column, scale = column.cast(pa.timestamp("us")).cast(pa.int64()), 1e-6
    seconds = column.cast(pa.float64()).to_numpy() * scale
    return np.where(np.isfinite(seconds), seconds, modified)
