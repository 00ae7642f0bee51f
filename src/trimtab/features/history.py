"""The history of a view: Parquet files of past values, one row an event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.config import FeaturesConfig
from trimtab.errors import InvalidConfig, NotFound, Unavailable
from trimtab.types import Record


class History(Record, frozen=True):
    """Where a view's past values stand.

    ``keys`` are the columns that make the entity; where ``joined``, the one column holds the entity as
    the store does.
    """

    view: str
    files: tuple[str, ...]
    keys: tuple[str, ...]
    time_column: str
    joined: bool = False


def history_of(config: FeaturesConfig, view: str, folder: Path) -> History:
    """The history of a view: what it names, or else its file in a batch store of Parquet files.

    Args:
        config: The views and stores that are served.
        view: The view's name.
        folder: The state directory, where a Parquet store without a URL keeps its files.

    Raises:
        InvalidConfig: the view names no history, and its batch store is of another kind.
        NotFound: there is no such file.
    """
    found = config.views[view]
    if found.history:
        files = _matching(found.history)
        return _existing(
            History(view=view, files=files, keys=found.keys, time_column=found.time_column),
            found.history,
        )
    store = config.stores.get(found.batch)
    if store is None or store.kind != "parquet":
        raise InvalidConfig(
            f"The view {view!r} names no history, and has no batch store of Parquet files.",
            code="no_history",
            path=f"features.views.{view}.history",
            hint="Name a file or pattern of Parquet files with past values.",
        )
    where = Path(store.url) if store.url else folder / "features"
    file = where / f"{quote(view, safe=' ')}.parquet"
    options: Mapping[str, object] = store.options
    return _existing(
        History(
            view=view,
            files=(str(file),) if file.is_file() else (),
            keys=(str(options.get("entity_column", "entity")),),
            time_column=str(options.get("event_time_column", "event_time")),
            joined=len(found.keys) > 1,
        ),
        str(file),
    )


def stamp_of(file: str) -> str:
    """What changes when a file is written anew."""
    status = Path(file).stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def rows_in(file: str) -> int:
    """How many rows a file has.

    Raises:
        Unavailable: it cannot be read.
    """
    with _opened(file) as opened:
        return int(opened.metadata.num_rows)


def batches_from(file: str, done: int, rows: int) -> Iterator[pa.RecordBatch]:
    """A file's rows behind the first ``done``, at most ``rows`` at a time, in order.

    Raises:
        Unavailable: it cannot be read.
    """
    with _opened(file) as opened:
        groups: list[int] = []
        skip = done
        for group in range(opened.metadata.num_row_groups):
            count = opened.metadata.row_group(group).num_rows
            if groups or skip < count:
                groups.append(group)
            else:
                skip -= count
        if not groups:
            return
        for batch in opened.iter_batches(batch_size=rows, row_groups=groups):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            yield batch.slice(skip)
            skip = 0


def _opened(file: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as wrong:
        raise Unavailable(
            f"The history file {file!r} cannot be read: {wrong}.",
            code="history_unreadable",
            hint="Is it whole, and a Parquet file?",
        ) from wrong


def _matching(pattern: str) -> tuple[str, ...]:
    """The files that a pattern names, sorted; ``**`` stands for any folders."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    root = Path(*parts[:fixed])
    found = root.glob(str(Path(*parts[fixed:]))) if fixed < len(parts) else (root,)
    return tuple(sorted(str(path) for path in found if path.is_file()))


def _existing(history: History, where: str) -> History:
    if not history.files:
        raise NotFound(
            f"The view {history.view!r} has no history at {where!r}.",
            code="no_history",
            hint="Is the path right, seen from this directory?",
        )
    return history
