"""Plain JSON in and out.

A prediction: ``{"key": "u1", "features": {…}}``, ``{"rows": [{"key": …, "features": {…}}, …]}`` or
``{"columns": {"amount": […], …}, "keys": […]}``, which is answered in columns, too.
An outcome: ``{"prediction_id": …, "value": …}`` or ``{"outcomes": [{…}, …]}``. Times are Unix seconds
or RFC 3339 text with an offset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from trimtab.errors import InvalidRequest
from trimtab.schema.plain import Key
from trimtab.serve.decoding import decode
from trimtab.types import FeatureOrigin, PredictAnswer, PredictRequest, RowRequest, Scalar

Id = Annotated[str, Meta(min_length=1, max_length=128)]
Time = float | datetime
DEADLINE = "trimtab-deadline-ms"
"""The header that says how many milliseconds a client still waits."""


class RowBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row."""

    features: dict[str, Scalar]
    key: Key | None = None
    event_time: Time | None = None
    prediction_id: Id | None = None


class PredictBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row, many rows, or columns with as many values each as there are rows."""

    features: dict[str, Scalar] | None = None
    key: Key | None = None
    event_time: Time | None = None
    prediction_id: Id | None = None
    rows: tuple[RowBody, ...] | None = None
    request_id: Id | None = None
    deadline_ms: Annotated[float, Meta(gt=0)] | None = None
    provenance: bool = False
    columns: dict[str, list[Scalar]] | None = None
    keys: list[Key | None] | None = None
    event_times: list[Time | None] | None = None
    prediction_ids: list[Id | None] | None = None


class OutcomeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One outcome; ``value`` is a label, a number or a truth value."""

    prediction_id: Id
    value: float | str | bool
    event_time: Time | None = None


class OutcomesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One outcome or many."""

    prediction_id: Id | None = None
    value: float | str | bool | None = None
    event_time: Time | None = None
    outcomes: tuple[OutcomeBody, ...] | None = None


_predict = msgspec.json.Decoder(PredictBody)
_outcomes = msgspec.json.Decoder(OutcomesBody)


def predict_request(body: bytes, max_rows: int) -> tuple[PredictRequest, bool]:
    """Decode a prediction request; whether it came in columns, and is to be answered so.

    Raises:
        InvalidRequest: malformed, of the wrong shape, empty, or too many rows.
    """
    asked = decode(_predict, body, _names)
    if _is_one_row(asked):
        return _one_row(asked), False
    if asked.columns is not None:
        rows: Sequence[RowBody] = _from_columns(asked, max_rows)
    elif asked.features is not None:
        rows = (RowBody(asked.features, asked.key, asked.event_time, asked.prediction_id),)
    else:
        rows = asked.rows or ()
    _check_form(asked)
    request = replace(
        request_of(rows, max_rows),
        request_id=asked.request_id,
        deadline_ms=asked.deadline_ms,
        provenance=asked.provenance,
    )
    return request, asked.columns is not None


def _is_one_row(asked: PredictBody) -> bool:
    """Whether it is one row, and has nothing that goes with many."""
    return (
        asked.features is not None
        and asked.rows is None
        and asked.columns is None
        and asked.keys is None
        and asked.event_times is None
        and asked.prediction_ids is None
    )


def _one_row(asked: PredictBody) -> PredictRequest:
    row = RowRequest(
        features=asked.features or {},
        key=asked.key,
        prediction_id=asked.prediction_id,
        event_time=seconds(asked.event_time, "rows[0].event_time"),
    )
    return PredictRequest(
        rows=(row,),
        request_id=asked.request_id,
        deadline_ms=asked.deadline_ms,
        provenance=asked.provenance,
    )


_OF_ONE = ("key", "event_time", "prediction_id")
_OF_COLUMNS = ("keys", "event_times", "prediction_ids")


def _check_form(asked: PredictBody) -> None:
    """Refuse what does not go together."""
    forms = (asked.features, asked.rows, asked.columns)
    if sum(form is not None for form in forms) != 1:
        raise InvalidRequest(
            "A request has one of 'features' (one row), 'rows' and 'columns' (many).",
            hint='Send {"features": {…}}, {"rows": [{"features": {…}}]} or {"columns": {…: […]}}.',
        )
    if asked.features is None:
        where = "'rows'" if asked.columns is None else "'keys' and the like"
        for name in _OF_ONE:
            if getattr(asked, name) is not None:
                raise InvalidRequest(f"{name!r} of many rows belongs into {where}.", path=name)
    if asked.columns is None:
        for name in _OF_COLUMNS:
            if getattr(asked, name) is not None:
                raise InvalidRequest(f"{name!r} goes with 'columns'.", path=name)


def _from_columns(asked: PredictBody, max_rows: int) -> Sequence[RowBody]:
    columns = asked.columns or {}
    beside = {name: getattr(asked, name) for name in _OF_COLUMNS}
    told = {f"columns.{name[:80]}": values for name, values in columns.items()}
    told |= {name: values for name, values in beside.items() if values is not None}
    count = len(next(iter(columns.values()), ()))
    for path, values in told.items():
        if len(values) != count:
            raise InvalidRequest(
                f"There are {len(values):,} values; the first column has {count:,}.",
                path=path,
                hint="All columns have the same length; null is a missing value.",
            )
    if count > max_rows:
        raise _too_many(count, "columns", max_rows)
    nothing = [None] * count
    rest = [nothing if values is None else values for values in beside.values()]
    return [
        RowBody(dict(zip(columns, row, strict=True)), key, time, name)
        for row, key, time, name in zip(zip(*columns.values(), strict=True), *rest, strict=True)
    ]


def _names(asked: PredictBody) -> int:
    """How many names a body has at least."""
    found = (
        (asked.key is not None)
        + (asked.event_time is not None)
        + (asked.prediction_id is not None)
        + (asked.request_id is not None)
        + (asked.deadline_ms is not None)
        + asked.provenance
    )
    if asked.features is not None:
        found += 1 + len(asked.features)
    if asked.rows is not None:
        found += 1 + sum(
            1
            + len(row.features)
            + (row.key is not None)
            + (row.event_time is not None)
            + (row.prediction_id is not None)
            for row in asked.rows
        )
    if asked.columns is not None:
        beside = (asked.keys, asked.event_times, asked.prediction_ids)
        found += 1 + len(asked.columns) + sum(values is not None for values in beside)
    return found


def request_of(rows: Sequence[RowBody], max_rows: int) -> PredictRequest:
    """Rows as flow 1 takes them.

    Raises:
        InvalidRequest: none, too many, or a time without an offset.
    """
    if not rows:
        raise InvalidRequest("'rows' is empty.", path="rows", hint="Send at least one row.")
    if len(rows) > max_rows:
        raise _too_many(len(rows), "rows", max_rows)
    return PredictRequest(
        rows=tuple(
            RowRequest(
                features=row.features,
                key=row.key,
                prediction_id=row.prediction_id,
                event_time=seconds(row.event_time, f"rows[{i}].event_time"),
            )
            for i, row in enumerate(rows)
        )
    )


def _too_many(rows: int, path: str, max_rows: int) -> InvalidRequest:
    return InvalidRequest(
        f"{rows:,} rows in one request; at most {max_rows:,} are taken.",
        code="too_many_rows",
        path=path,
        hint="Split the request, or use `trimtab score` for a batch.",
    )


def outcome_bodies(body: bytes) -> tuple[OutcomeBody, ...]:
    """Decode outcomes.

    Raises:
        InvalidRequest: malformed, of the wrong shape, or empty.
    """
    sent = decode(_outcomes, body)
    if sent.outcomes is not None and sent.prediction_id is None:
        if not sent.outcomes:
            raise InvalidRequest("'outcomes' is empty.", path="outcomes")
        return sent.outcomes
    if sent.outcomes is None and sent.prediction_id is not None and sent.value is not None:
        return (OutcomeBody(sent.prediction_id, sent.value, sent.event_time),)
    raise InvalidRequest(
        "A request has either 'prediction_id' and 'value' (one outcome) or 'outcomes' (many).",
        hint='Send {"outcomes": [{"prediction_id": …, "value": …}]}.',
    )


def seconds(time: Time | None, path: str) -> float | None:
    """Unix seconds of a time on the wire.

    Raises:
        InvalidRequest: text without an offset from UTC.
    """
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise InvalidRequest(
                f"The time {time.isoformat()} has no offset from UTC.",
                path=path,
                hint="Write it as 2026-01-31T12:00:00Z, or send Unix seconds.",
            )
        return time.timestamp()
    return time


def deadline_header(seconds: float | None) -> str:
    """What is left of a client's time, as the header would say it; at least a millisecond."""
    return "" if seconds is None else f"{min(max(seconds * 1e3, 1.0), 1e8):.0f}"


class ColumnsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer in columns, each with a value for each row."""

    model: str
    epoch: int
    prediction_ids: list[str]
    versions: list[int]
    arms: list[str]
    scores: list[float]
    outputs: list[tuple[float, ...]]
    decisions: list[str | float]
    sources: list[str]
    features: list[Mapping[str, FeatureOrigin] | None] | None = None


def in_columns(answer: PredictAnswer, *, provenance: bool) -> ColumnsAnswer:
    """An answer as those who asked in columns are given it."""
    rows = answer.predictions
    return ColumnsAnswer(
        model=answer.model,
        epoch=answer.epoch,
        prediction_ids=[row.prediction_id for row in rows],
        versions=[row.version for row in rows],
        arms=[row.arm for row in rows],
        scores=[row.score for row in rows],
        outputs=[row.outputs for row in rows],
        decisions=[row.decision for row in rows],
        sources=[row.sources for row in rows],
        features=[row.features for row in rows] if provenance else None,
    )


def named(asked: PredictRequest, prediction_id: str) -> PredictRequest:
    """The request with a name for its only row, if that has none."""
    row = asked.rows[0]
    if len(asked.rows) > 1 or row.prediction_id is not None:
        return asked
    return replace(asked, rows=(replace(row, prediction_id=prediction_id),))


def within(asked: PredictRequest, deadline: str) -> PredictRequest:
    """The request with what is left of its client's time, as a header says it.

    Raises:
        InvalidRequest: ``invalid_deadline``.
    """
    if not deadline:
        return asked
    if not (deadline.isascii() and deadline.isdecimal() and len(deadline) < 10 and int(deadline)):
        raise InvalidRequest(
            f"The header Trimtab-Deadline-Ms is {deadline[:40]!r}, which is no time.",
            code="invalid_deadline",
            hint="It is the time that is left in whole milliseconds, at least 1.",
        )
    left = float(deadline)
    return replace(asked, deadline_ms=min(left, asked.deadline_ms or left))
