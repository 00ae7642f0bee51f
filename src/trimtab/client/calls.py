"""What goes over the wire, free of any HTTP library: bodies out, answers and errors in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

from trimtab.errors import (
    Conflict,
    InvalidRequest,
    InvalidRow,
    ModelFailure,
    NotFound,
    Refused,
    TrimtabError,
    Unavailable,
)
from trimtab.types import OutcomeReceipt, PredictAnswer, Prediction, RowRequest, Scalar

T = TypeVar("T")
Row = Mapping[str, Scalar] | RowRequest
"""Features by name, or a row with its key, prediction id and event time."""
Outcome = tuple[str, float | str | bool] | tuple[str, float | str | bool, float]
"""A prediction id, what became known, and when, in Unix seconds."""

DEADLINE_HEADER = "trimtab-deadline-ms"

_ERRORS: dict[int, type[TrimtabError]] = {
    400: InvalidRequest,
    401: Refused,
    403: Refused,
    404: NotFound,
    405: InvalidRequest,
    409: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRow,
    429: Unavailable,
    500: ModelFailure,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_PLAIN = frozenset({str, int, bool, type(None)})
REFUSED_UNDONE = frozenset({429, 502, 503})
"""With these the server, or what stands before it, says that it did nothing: asking again is safe."""


class _Detail(msgspec.Struct):
    code: str
    message: str
    hint: str = ""
    path: str | None = None


class _Problem(msgspec.Struct):
    error: _Detail


class _Receipts(msgspec.Struct):
    outcomes: tuple[OutcomeReceipt, ...]


_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(PredictAnswer)
_receipts = msgspec.json.Decoder(_Receipts)
_problem = msgspec.json.Decoder(_Problem)
_anything = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and how its answer is read.

    ``repeatable``: sending it twice has the effect of sending it once, so it may be sent again when
    nobody knows whether it arrived.
    """

    method: str
    path: str
    body: bytes
    read: Callable[[bytes], T]
    repeatable: bool


def model_call(model: str) -> Call[dict[str, Any]]:
    """Ask what a model takes and answers."""
    return get_call(f"/v2/models/{quote(model, safe='')}")


def outcome_of(prediction_id: str, value: float | str | bool, event_time: float | None) -> Outcome:
    """One outcome; now, if no time is given."""
    return (prediction_id, value) if event_time is None else (prediction_id, value, event_time)


def predict_call(
    model: str, rows: Sequence[Row], *, provenance: bool = False
) -> Call[tuple[Prediction, ...]]:
    """Ask for predictions, in the order of the rows."""
    full = [row if isinstance(row, RowRequest) else RowRequest(features=row) for row in rows]
    body: dict[str, Any] = {"rows": [_row(row, f"rows[{at}]") for at, row in enumerate(full)]}
    if provenance:
        body["provenance"] = True
    return Call(
        "POST",
        f"/models/{quote(model, safe='')}/predict",
        _encode(body),
        lambda sent: _read(_answer, sent).predictions,
        repeatable=all(row.prediction_id is not None for row in full),
    )


def outcomes_call(model: str, outcomes: Sequence[Outcome]) -> Call[tuple[OutcomeReceipt, ...]]:
    """Tell outcomes; the server keeps each of them once."""
    names = ("prediction_id", "value", "event_time")
    body = {"outcomes": [dict(zip(names, outcome, strict=False)) for outcome in outcomes]}
    return Call(
        "POST",
        f"/models/{quote(model, safe='')}/outcomes",
        _encode(body),
        lambda sent: _read(_receipts, sent).outcomes,
        repeatable=True,
    )


def get_call(path: str) -> Call[dict[str, Any]]:
    """Read one of the server's documents."""
    return Call("GET", path, b"", lambda sent: _read(_anything, sent), repeatable=True)


def chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Rows in lists of at most ``size``.

    Raises:
        InvalidRequest: no row fits into a list.
    """
    if size < 1:
        raise InvalidRequest(
            f"chunk_rows is {size}.", hint="A request takes at least 1 row.", path="chunk_rows"
        )
    waiting = iter(rows)
    while chunk := list(islice(waiting, size)):
        yield chunk


def error_of(status: int, body: bytes) -> TrimtabError:
    """The error that an answer tells of; one of a proxy in between has the code ``http_<status>``."""
    kind = _ERRORS.get(status, TrimtabError)
    try:
        told = _problem.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = body[:200].decode(errors="replace").strip()
        return kind(f"The server answered {status}: {said or 'nothing'}.", code=f"http_{status}")
    return kind(told.message, hint=told.hint, code=told.code, path=told.path)


def _row(row: RowRequest, path: str) -> dict[str, Any]:
    features = {
        name: value if type(value) in _PLAIN else _scalar(name, value, path)
        for name, value in row.features.items()
    }
    beside = {
        "key": row.key,
        "prediction_id": row.prediction_id,
        "event_time": row.event_time,
    }
    return {"features": features, **{k: v for k, v in beside.items() if v is not None}}


def _scalar(name: str, value: object, path: str) -> Scalar:
    """A value that JSON has no type of its own for.

    Raises:
        InvalidRow: it cannot be sent without becoming another value.
    """
    has_no_axes = getattr(value, "shape", None) == ()  # a scalar of NumPy
    plain: object = value.item() if has_no_axes else value  # type: ignore[attr-defined]  # as it says
    if isinstance(plain, bool | int | str) or (isinstance(plain, float) and not math.isinf(plain)):
        return plain
    infinite = isinstance(plain, float)
    raise InvalidRow(
        f"The feature {name!r} "
        + ("is infinite." if infinite else f"is {type(value).__name__}, which is no scalar."),
        hint="Send a finite number, a text, a truth value, or None where it is not known.",
        code="not_finite" if infinite else "wrong_type",
        path=f"{path}.features.{name}",
    )


def _read(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise TrimtabError(
            f"The server's answer is not what its documentation says: {wrong}.",
            code="unreadable_answer",
            hint="Is the address one of a Trimtab server, and of a version like this client's?",
        ) from wrong
