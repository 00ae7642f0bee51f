"""Batches of Arrow as rows of features; apart from writing, so that a worker does without Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from trimtab.errors import InvalidRow


def rows_of(
    batches: Iterable[pa.RecordBatch | pa.Table], columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Rows of Arrow batches as mappings.

    Raises:
        InvalidRow: a column is missing.
    """
    for batch in batches:
        missing = [name for name in columns if name not in batch.schema.names]
        if missing:
            raise InvalidRow(
                f"There is no column {', '.join(map(repr, missing))}.",
                code="unknown_column",
                path=missing[0],
                hint=f"The columns are {', '.join(batch.schema.names)}.",
            )
        lists = [batch.column(name).to_pylist() for name in columns]
        for values in zip(*lists, strict=True):
            yield dict(zip(columns, values, strict=True))
