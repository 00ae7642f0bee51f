"""From a view's history to its online store: incremental, resumable, idempotent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trimtab.config import ViewConfig
from trimtab.features.batches import rows_of
from trimtab.features.history import History, batches_from, rows_in, stamp_of
from trimtab.features.writing import RowReader, Tally, Written, write_rows
from trimtab.protocols import Clock, FeatureStore
from trimtab.types import SourceProgress

CHUNK_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Ledger:
    """How far a job has come, kept where it survives a crash."""

    load: Callable[[], Mapping[str, SourceProgress]]
    save: Callable[[SourceProgress], None]


def _silent(done: int, total: int) -> None:
    del done, total


async def materialise(
    history: History,
    view: ViewConfig,
    store: FeatureStore,
    ledger: Ledger,
    clock: Clock,
    progress: Callable[[int, int], None] = _silent,
) -> Written:
    """Write what is new in a view's history to its store.

    Rows are written in chunks, and each chunk is noted in the ledger once the store has it. A run that
    was killed goes on behind the last chunk that was noted; what it writes a second time changes
    nothing, because the store keeps the newest event of each entity. A file that changed since is read
    from its beginning.

    Args:
        history: What to read.
        view: Its definition.
        store: Where to write.
        ledger: How far earlier runs came.
        clock: Events in its future are refused.
        progress: Called with rows done and rows in all.

    Raises:
        InvalidRow: a column is missing.
        Unavailable: a file or the store cannot be used; run it again.
    """
    reader = RowReader(view, clock, history.time_column, history.keys)
    tally = Tally()
    known = ledger.load()
    plan = []
    for file in history.files:
        stamp, rows, before = stamp_of(file), rows_in(file), known.get(file)
        done = before.done if before is not None and before.stamp == stamp else 0
        plan.append((file, stamp, rows, min(done, rows)))
    total = sum(rows - done for _, _, rows, done in plan)
    progress(0, total)
    for file, stamp, _, start in plan:
        done = start
        for batch in batches_from(file, start, CHUNK_ROWS):
            found = rows_of([batch], reader.columns)
            await write_rows(store, history.view, found, reader, tally, CHUNK_ROWS)
            done += batch.num_rows
            ledger.save(SourceProgress(source=file, stamp=stamp, done=done))
            progress(tally.rows, total)
    return tally.written()
