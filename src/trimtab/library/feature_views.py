"""Feature views from a program: push frames, make training sets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import narwhals as nw
import pyarrow as pa

from trimtab.config import load
from trimtab.errors import InvalidInput, NotFound
from trimtab.features.batches import rows_of
from trimtab.features.writing import RowReader, Tally, Written, writable, write_rows
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.serving import open_store
from trimtab.wiring.training import TrainingOptions, join_views
from trimtab.wiring.views import served_features


class FeatureViews:
    """The feature views of a deployment.

    Args:
        config: Path of ``trimtab.toml``; None takes the one in the working directory, if there is one.
    """

    def __init__(self, config: str | Path | None = None) -> None:
        self._deployment = Deployment.open(load(None if config is None else Path(config)))

    def push(
        self, view: str, frame: Any, time: str | None = None, keys: Sequence[str] = ()
    ) -> Written:
        """Write a frame's rows to the view's realtime store.

        Args:
            view: The view's name.
            frame: pandas, polars or Arrow, with the view's keys and features.
            time: Its column of event times; None means now.
            keys: Its columns of keys, in the view's order; the view's own names unless named.

        Returns:
            How many rows and values were kept and refused.

        Raises:
            NotFound: there is no such view.
            InvalidInput: it is no frame, a column is missing, or has values of several types.
            Unavailable: the store cannot be reached.
        """
        views = served_features(self._deployment).views
        if view not in views:
            raise NotFound(
                f"There is no feature view {view!r}.", hint=f"Views: {', '.join(views) or 'none'}."
            )
        found = views[view]
        reader = RowReader(found, self._deployment.clock, time, keys)
        rows = rows_of([_arrow(frame)], reader.columns)
        tally = Tally()

        async def write() -> None:
            store = open_store(self._deployment, writable(found, view))
            try:
                await write_rows(store, view, rows, reader, tally)
            finally:
                await store.close()

        # A thread of its own: a notebook's thread has a loop that runs already.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, write()).result()
        return tally.written()

    def training_frame(
        self,
        events: Any,
        views: Sequence[str] = (),
        time: str = "event_time",
        *,
        defaults: bool = True,
    ) -> Any:
        """Events with what the views knew at their time, and nothing that came later.

        Args:
            events: pandas, polars or Arrow, with a column for each key and one of times.
            views: Names of views; all unless named.
            time: The column of event times.
            defaults: Whether what is missing is filled as serving fills it.

        Returns:
            A frame of the same kind, its rows in the same order.

        Raises:
            NotFound: there is no such view.
            InvalidInput: columns do not fit together.
        """
        table = _arrow(events)
        asked = TrainingOptions(views=tuple(views), time_column=time, defaults=defaults)
        schema, tables = join_views(self._deployment, table.to_batches(), table.schema, asked)
        joined = pa.concat_tables([schema.empty_table(), *tables])
        kind = nw.from_native(events, eager_only=True).implementation
        return nw.from_arrow(joined, backend=kind).to_native()

    def close(self) -> None:
        """Release the state; idempotent."""
        self._deployment.close()


def _arrow(frame: Any) -> pa.Table:
    try:
        return nw.from_native(frame, eager_only=True).to_arrow()
    except (TypeError, pa.ArrowException) as wrong:
        said = "; ".join(map(str, wrong.args))
        raise InvalidInput(
            f"These rows are no frame that can be read: {said}",
            code="unreadable_frame",
            hint="Give a pandas, polars or Arrow frame whose columns are of one type each.",
        ) from wrong
