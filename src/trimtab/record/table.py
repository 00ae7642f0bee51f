"""Records as an Arrow table, for retraining, exports and reports."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import pyarrow as pa

from trimtab.types import FeatureKind, PredictionRecord, Signature

CHUNK_ROWS = 50_000

_FIELDS = {
    "prediction_id": pa.string(),
    "request_id": pa.string(),
    "event_time": pa.float64(),
    "wall_time": pa.float64(),
    "model": pa.string(),
    "version": pa.int64(),
    "digest": pa.string(),
    "epoch": pa.int64(),
    "rollout": pa.string(),
    "arm": pa.int64(),
    "share": pa.float64(),
    "unit": pa.string(),
    "sticky": pa.bool_(),
    "sources": pa.string(),
    "score": pa.float64(),
    "outputs": pa.list_(pa.float64()),
    "positive": pa.bool_(),
    "latency_ms": pa.float64(),
    "failed": pa.string(),
    "shadow": pa.bool_(),
}

_KINDS = {
    FeatureKind.NUMERIC: pa.float64(),
    FeatureKind.INTEGER: pa.int64(),
    FeatureKind.BOOLEAN: pa.bool_(),
    FeatureKind.CATEGORICAL: pa.string(),
}


def table(records: Iterable[PredictionRecord], signature: Signature) -> pa.Table:
    """Records of one model version as a table, one row each.

    A feature's column bears the feature's name; all that Trimtab adds begins with an underscore
    (``_prediction_id``, ``_event_time``, ``_score``, ``_sources`` ...), so the two cannot collide.

    Args:
        records: Records whose values are in the signature's order.
        signature: Names and kinds of the features.
    """
    schema = pa.schema(
        [(f"_{name}", kind) for name, kind in _FIELDS.items()]
        + [(spec.name, _KINDS[spec.kind]) for spec in signature.features]
    )
    waiting = iter(records)
    chunks = []
    while chunk := list(islice(waiting, CHUNK_ROWS)):
        arrays = [
            pa.array([getattr(record, name) for record in chunk], kind)
            for name, kind in _FIELDS.items()
        ]
        features = zip(*(record.values for record in chunk), strict=True)
        arrays += [
            pa.array(column, _KINDS[spec.kind])
            for spec, column in zip(signature.features, features, strict=True)
        ]
        chunks.append(pa.record_batch(arrays, schema=schema))
    return pa.Table.from_batches(chunks, schema=schema)
