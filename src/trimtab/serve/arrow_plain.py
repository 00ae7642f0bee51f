"""Record batches whose rows need no look at each value: they are answered as plain rows are.

Each column is looked at as a whole instead. What is unusual about any of them leaves the batches to the checks by
value, and to their words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from trimtab.protocols import LiveModel
from trimtab.schema.plain import MAX_KEY
from trimtab.schema.values import MAX_TEXT
from trimtab.serve.arrow import values_of
from trimtab.types import FeatureKind, PlainRow

KEY = "trimtab.key"


def plain_rows(batches: Sequence[Any], live: LiveModel, began: float) -> list[PlainRow] | None:
    """The rows of batches that have finite floats and texts for all features of a model without candidates, and keys perhaps.

    Args:
        batches: At least one, of one schema.
        live: The model; with a candidate, rows would not all be answered in the same way.
        began: When the request was there, in monotonic seconds.

    Returns:
        None where there is more to see to.
    """
    specs, names = live.champion.signature.features, set(batches[0].schema.names)
    if not live.plain or len(live.route.arms) > 1 or {spec.name for spec in specs} != names - {KEY}:
        return None
    rows: list[PlainRow] = []
    for batch in batches:
        columns = [_values(batch.column(spec.name), spec.kind) for spec in specs]
        keys = _keys(batch.column(KEY)) if KEY in names else [None] * batch.num_rows
        across = [column for column in columns if column is not None]
        if keys is None or len(across) < len(columns):
            return None
        rows += [
            PlainRow(values=values, key=key, began=began)
            for values, key in zip(zip(*across, strict=True), keys, strict=True)
        ]
    return rows


def _values(column: Any, kind: FeatureKind) -> list[Any] | None:
    """A column's values, if the checks by value would leave all of them as they are."""
    if column.null_count:
        return None
    if kind is FeatureKind.NUMERIC and (
        pa.types.is_float64(column.type) or pa.types.is_float32(column.type)
    ):
        numbers = column.to_numpy()
        return list(numbers.tolist()) if np.isfinite(numbers).all() else None
    if kind is FeatureKind.CATEGORICAL and _holds_text(column.type):
        texts = values_of("", column)
        return texts if all(type(text) is str and len(text) <= MAX_TEXT for text in texts) else None
    return None


def _holds_text(kind: Any) -> bool:
    return bool(
        pa.types.is_string(kind)
        or (pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))
    )


def _keys(column: Any) -> list[str | None] | None:
    """Routing keys, if they are such as JSON may have them."""
    if not pa.types.is_string(column.type):
        return None
    keys: list[str | None] = column.to_pylist()
    return keys if all(key is None or 0 < len(key) <= MAX_KEY for key in keys) else None
