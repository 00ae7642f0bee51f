"""Plain JSON in and out.

A prediction: ``{"key": "u1", "features": {…}}`` or ``{"rows": [{"key": …, "features": {…}}, …]}``.
An outcome: ``{"prediction_id": …, "value": …}`` or ``{"outcomes": [{…}, …]}``. Times are Unix seconds
or RFC 3339 text with an offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from trimtab.errors import InvalidRequest
from trimtab.types import PredictRequest, RowRequest, Scalar

T = TypeVar("T")
Id = Annotated[str, Meta(min_length=1, max_length=128)]
Key = Annotated[str, Meta(min_length=1, max_length=512)]
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
    """One row or many."""

    features: dict[str, Scalar] | None = None
    key: Key | None = None
    event_time: Time | None = None
    prediction_id: Id | None = None
    rows: tuple[RowBody, ...] | None = None
    request_id: Id | None = None
    deadline_ms: Annotated[float, Meta(gt=0)] | None = None
    provenance: bool = False


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


def predict_request(body: bytes, max_rows: int) -> PredictRequest:
    """Decode a prediction request.

    Raises:
        InvalidRequest: malformed, of the wrong shape, empty, or too many rows.
    """
    asked = decode(_predict, body)
    if (asked.rows is None) == (asked.features is None):
        raise InvalidRequest(
            "A request has either 'features' (one row) or 'rows' (many).",
            hint='Send {"features": {…}} or {"rows": [{"features": {…}}]}.',
        )
    if asked.rows is None:
        rows: tuple[RowBody, ...] = (
            RowBody(asked.features or {}, asked.key, asked.event_time, asked.prediction_id),
        )
    else:
        rows = asked.rows
        single = ("key", "event_time", "prediction_id")
        for name in single:
            if getattr(asked, name) is not None:
                raise InvalidRequest(f"{name!r} belongs into each of the 'rows'.", path=name)
    return replace(
        request_of(rows, max_rows),
        request_id=asked.request_id,
        deadline_ms=asked.deadline_ms,
        provenance=asked.provenance,
    )


def request_of(rows: Sequence[RowBody], max_rows: int) -> PredictRequest:
    """Rows as flow 1 takes them.

    Raises:
        InvalidRequest: none, too many, or a time without an offset.
    """
    if not rows:
        raise InvalidRequest("'rows' is empty.", path="rows", hint="Send at least one row.")
    if len(rows) > max_rows:
        raise InvalidRequest(
            f"{len(rows):,} rows in one request; at most {max_rows:,} are taken.",
            code="too_many_rows",
            path="rows",
            hint="Split the request, or use `trimtab score` for a batch.",
        )
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


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a JSON body.

    Raises:
        InvalidRequest: with the path of what is wrong.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as wrong:
        raise misshapen(wrong) from wrong
    except RecursionError as wrong:
        raise InvalidRequest(
            "The body is nested too deeply.",
            code="invalid_shape",
            hint="The body must follow the documented schema.",
        ) from wrong
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise InvalidRequest(
            f"The body is not valid JSON: {wrong}.",
            code="malformed_json",
            hint="JSON knows neither NaN nor Infinity; a missing value is null or absent.",
        ) from wrong


def misshapen(wrong: msgspec.ValidationError, root: str = "") -> InvalidRequest:
    """The error of a body that is JSON but not of the documented shape; ``root`` is where it stood."""
    message, _, where = str(wrong).partition(" - at `$")
    return InvalidRequest(
        f"{message}.",
        code="invalid_shape",
        path=(root + where.strip("`")).strip(".") or None,
        hint="The body must follow the documented schema.",
    )
