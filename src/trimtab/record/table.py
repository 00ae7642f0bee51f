"""Records as an Arrow table, for retraining, exports and reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from trimtab.errors import NotFound
from trimtab.types import FeatureKind, PredictionRecord, Signature

CHUNK_ROWS = 50_000

FIELDS = {
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
    "ages_seconds": pa.list_(pa.float64()),
    "score": pa.float64(),
    "outputs": pa.list_(pa.float64()),
    "positive": pa.bool_(),
    "latency_ms": pa.float64(),
    "failed": pa.string(),
    "shadow": pa.bool_(),
    "entities": pa.map_(pa.string(), pa.string()),
    "shares": pa.list_(pa.float64()),
    "withheld": pa.list_(pa.int64()),
    "answered": pa.list_(pa.float64()),
}
"""What every record has beside its values; a column bears the name behind an underscore."""

_OWN = {**FIELDS, "withheld": pa.list_(pa.string())}
"""The same in a table, which knows the features' names."""

KINDS = {
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
    schema = _schema({spec.name: KINDS[spec.kind] for spec in signature.features})
    waiting = iter(records)
    chunks = []
    while chunk := list(islice(waiting, CHUNK_ROWS)):
        features = zip(*(record.values for record in chunk), strict=True)
        arrays = _own(chunk, {record.version: signature for record in chunk}) + [
            pa.array(column, KINDS[spec.kind])
            for spec, column in zip(signature.features, features, strict=True)
        ]
        chunks.append(pa.record_batch(arrays, schema=schema))
    return pa.Table.from_batches(chunks, schema=schema)


def joint_schema(signatures: Iterable[Signature]) -> pa.Schema:
    """The columns of :func:`joint_batches`: each feature of any version once.

    Where versions disagree, numbers of both kinds become ``double``, all else text.
    """
    features: dict[str, pa.DataType] = {}
    for signature in signatures:
        for spec in signature.features:
            kind = KINDS[spec.kind]
            if features.setdefault(spec.name, kind) != kind:
                numbers = {features[spec.name], kind} == {pa.int64(), pa.float64()}
                features[spec.name] = pa.float64() if numbers else pa.string()
    return _schema(features)


def joint_batches(
    records: Iterable[PredictionRecord],
    signatures: Mapping[int, Signature],
    rows: int = CHUNK_ROWS,
) -> Iterator[pa.RecordBatch]:
    """Records of several versions of one model, batch by batch, as columns of :func:`joint_schema`.

    A feature that a version does not have is missing in its rows.

    Args:
        records: In any order.
        signatures: By version.
        rows: The most rows of a batch.

    Raises:
        NotFound: a record's version has no signature.
    """
    schema = joint_schema(signatures.values())
    names = schema.names[len(FIELDS) :]
    places = {
        version: [signature.names.index(n) if n in signature.names else None for n in names]
        for version, signature in signatures.items()
    }
    waiting = iter(records)
    while chunk := list(islice(waiting, rows)):
        picked = [_picked(record, places) for record in chunk]
        columns = list(zip(*picked, strict=True)) if names else []
        kinds = [schema.field(name).type for name in names]
        arrays = _own(chunk, signatures) + [
            pa.array([_cast(value, kind) for value in column], kind)
            for column, kind in zip(columns, kinds, strict=True)
        ]
        yield pa.record_batch(arrays, schema=schema)


def _schema(features: Mapping[str, pa.DataType]) -> pa.Schema:
    own = [(f"_{name}", kind) for name, kind in _OWN.items()]
    return pa.schema(own + list(features.items()))


def _own(chunk: Sequence[PredictionRecord], signatures: Mapping[int, Signature]) -> list[pa.Array]:
    named = [withheld_names(record, signatures[record.version]) for record in chunk]
    return [
        pa.array(named if name == "withheld" else [cell(record, name) for record in chunk], kind)
        for name, kind in _OWN.items()
    ]


def withheld_names(record: PredictionRecord, signature: Signature) -> list[str]:
    """The features whose values are not in a record by setting."""
    return [signature.names[at] for at in record.withheld]


def cell(record: PredictionRecord, name: str) -> Any:
    """A field's value as its column takes it."""
    value = getattr(record, name)
    return list(value.items()) if isinstance(value, dict) else value


def _picked(record: PredictionRecord, places: Mapping[int, Sequence[int | None]]) -> list[Any]:
    place = places.get(record.version)
    if place is None:
        raise NotFound(
            f"Version {record.version} of {record.model!r} was recorded but is not registered.",
            hint="`trimtab journal cat` shows its values without their names.",
            code="version_not_registered",
        )
    values = record.values  # none where a candidate ended its process while it was loaded
    return [None if at is None or not values else values[at] for at in place]


def _cast(value: Any, kind: pa.DataType) -> Any:
    """The value as a column takes it that stands for several kinds."""
    if value is None:
        return None
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else repr(value)
    return value
