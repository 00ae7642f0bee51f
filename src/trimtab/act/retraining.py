"""Retraining sets: what was predicted, as the model saw it, with what became known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from trimtab.errors import InvalidInput, InvalidPlan
from trimtab.types import FeatureKind, PredictionRecord, Record, Signature, Task

ID, TIME, OUTCOME, SOURCE = "prediction_id", "event_time", "outcome", "source:"
CHUNK = 10_000

Outcomes = Callable[[Sequence[str]], Mapping[str, float]]
"""The outcomes of those prediction ids that have one."""

Trainer = Callable[[pa.Table], Any]
"""Takes the table; gives a fitted model, or the model and its held-out metrics."""

_TYPES = {
    FeatureKind.NUMERIC: pa.float64(),
    FeatureKind.INTEGER: pa.int64(),
    FeatureKind.BOOLEAN: pa.bool_(),
    FeatureKind.CATEGORICAL: pa.string(),
}


class TrainerResult(Record, frozen=True):
    """A newly trained model; ``metrics`` are the trainer's own held-out figures, maybe none."""

    model: Any
    metrics: Mapping[str, float] = {}


def training_table(
    records: Iterable[PredictionRecord],
    outcomes: Outcomes,
    signature: Signature,
    *,
    versions: Mapping[int, Signature] | None = None,
    provenance: bool = False,
) -> pa.Table:
    """Features as they were at prediction time, with their outcome.

    Each prediction once; shadow answers and predictions without an outcome are left out. In order of
    event time, then of id, so that the same records give the same table in whichever order they were
    read: trainers depend on it. Memory holds the result twice, while it is sorted.

    Args:
        records: What was recorded of one model, in any order.
        outcomes: Looks up outcomes by prediction id.
        signature: Which features, in which order; all records follow it unless ``versions`` is given.
        versions: The signatures of the recorded versions; records of others are left out, and a
            feature that a version did not have is missing.
        provenance: Whether a column ``source:<feature>`` holds each value's provenance code.

    Returns:
        ``prediction_id``, ``event_time`` in Unix seconds, the features, then ``outcome``: the index
        of the class as int64, or the value as float64.

    Raises:
        InvalidInput: a feature bears the name of one of the other columns.
        InvalidPlan: a feature's values are withheld from the journal (``withheld_feature``).
    """
    if clash := {ID, TIME, OUTCOME} & set(signature.names):
        raise InvalidInput(
            f"The feature {min(clash)!r} bears the name of a column of the training table.",
            code="reserved_name",
            hint="Rename the feature.",
        )
    schema = _schema(signature, provenance=provenance)
    batches = []
    for chunk in _chunks(_answered_once(records), CHUNK):
        known = outcomes([record.prediction_id for record in chunk])
        rows = [
            _row(record, signature, picks, known[record.prediction_id], provenance=provenance)
            for record in chunk
            if record.prediction_id in known
            and (picks := _picks(record.version, signature, versions)) is not None
        ]
        batches.append(_batch(rows, schema))
    table = pa.Table.from_batches(batches, schema=schema)
    return table.sort_by([(TIME, "ascending"), (ID, "ascending")])


def train(trainer: Trainer, table: pa.Table) -> TrainerResult:
    """Call a trainer; it gives a model, or a model and its metrics.

    Raises:
        InvalidPlan: there is nothing to learn from.
    """
    if not table.num_rows:
        raise InvalidPlan(
            "No recorded prediction has an outcome yet.",
            code="nothing_to_train_on",
            hint="Send outcomes, or take a longer span.",
        )
    if len(table.column(OUTCOME).unique()) < 2:
        raise InvalidPlan(
            f"All {table.num_rows:,} outcomes are {table.column(OUTCOME)[0]}.",
            code="one_class_only",
            hint="Take a longer span, until there are different outcomes.",
        )
    found = trainer(table)
    if isinstance(found, tuple):
        model, metrics = found
        return TrainerResult(model=model, metrics=dict(metrics))
    return TrainerResult(model=found)


def _schema(signature: Signature, *, provenance: bool) -> pa.Schema:
    outcome = pa.float64() if signature.task is Task.REGRESSION else pa.int64()
    sources = [(f"{SOURCE}{name}", pa.string()) for name in signature.names] if provenance else []
    features = [(feature.name, _TYPES[feature.kind]) for feature in signature.features]
    return pa.schema(
        [(ID, pa.string()), (TIME, pa.float64()), *features, *sources, (OUTCOME, outcome)]
    )


def _answered_once(records: Iterable[PredictionRecord]) -> Iterator[PredictionRecord]:
    seen: set[str] = set()
    for record in records:
        if not record.shadow and record.prediction_id not in seen:
            seen.add(record.prediction_id)
            yield record


def _picks(
    version: int, signature: Signature, versions: Mapping[int, Signature] | None
) -> Sequence[int | None] | None:
    """Where each feature stands in a version's records; None if the version is not known."""
    if versions is None:
        return range(len(signature.features))
    recorded = versions.get(version)
    if recorded is None:
        return None
    place = {name: index for index, name in enumerate(recorded.names)}
    return [place.get(name) for name in signature.names]


def _row(
    record: PredictionRecord,
    signature: Signature,
    picks: Sequence[int | None],
    outcome: float,
    *,
    provenance: bool,
) -> list[Any]:
    lacking = [
        name
        for name, pick in zip(signature.names, picks, strict=True)
        if record.withheld and pick in record.withheld
    ]
    if lacking:
        raise InvalidPlan(
            f"The feature {lacking[0]!r} is withheld from the journal, so nothing can learn from it.",
            code="withheld_feature",
            hint="Take a span in which it was recorded, or train on rows of your own.",
            path=lacking[0],
        )
    values = [None if pick is None else record.values[pick] for pick in picks]
    sources = (
        [None if pick is None else record.sources[pick] for pick in picks] if provenance else []
    )
    return [record.prediction_id, record.event_time, *values, *sources, outcome]


def _batch(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    arrays = [
        pa.array([_cast(value, field.type) for value in column], field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cast(value: Any, kind: pa.DataType) -> Any:
    """The value as the column's type takes it; NaN is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if pa.types.is_boolean(kind):
        return bool(value)
    if pa.types.is_integer(kind):
        return int(value)
    return float(value) if pa.types.is_floating(kind) else str(value)


def _chunks(records: Iterable[PredictionRecord], size: int) -> Iterator[list[PredictionRecord]]:
    rest = iter(records)
    while chunk := list(islice(rest, size)):
        yield chunk
