"""MLflow's scoring formats, so that its clients move over by changing a URL.

``{"dataframe_split": {"columns": […], "data": [[…]]}}``, ``{"dataframe_records": [{…}]}``, ``{"inputs": …}``,
``{"instances": […]}`` and CSV with a head. The columns ``trimtab.key``, ``trimtab.event_time`` and
``trimtab.prediction_id`` are what a plain row brings beside its features.

Source: the documentation of MLflow's scoring server, https://mlflow.org/docs/latest/ml/deployment.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from trimtab.errors import InvalidRequest
from trimtab.serve import wire
from trimtab.serve.decoding import decode, misshapen
from trimtab.types import FeatureKind, PredictAnswer, PredictRequest, Signature, Task

CSV = "text/csv"
OWN = {f"trimtab.{name}": name for name in ("key", "event_time", "prediction_id")}
_TRUTH = {"true": True, "false": False, "1": True, "0": False}


class Split(msgspec.Struct, frozen=True):
    """A frame by its columns' names and its rows; an index is ignored."""

    columns: tuple[str, ...]
    data: tuple[tuple[Any, ...], ...]


class InvocationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly one of the four forms; ``params`` are ignored."""

    dataframe_split: Split | None = None
    dataframe_records: tuple[dict[str, Any], ...] | None = None
    inputs: dict[str, Any] | list[Any] | None = None
    instances: list[Any] | None = None
    params: dict[str, Any] | None = None


class Predictions(msgspec.Struct, frozen=True):
    """What MLflow's clients read."""

    predictions: tuple[str | float, ...]


_NAN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|NaN', re.DOTALL)
"""``NaN``, or a whole text, in which it means nothing."""
_decoder = msgspec.json.Decoder(InvocationBody)


def invocation_request(
    body: bytes, content_type: str, signature: Signature, max_rows: int
) -> PredictRequest:
    """Decode one of the formats.

    Raises:
        InvalidRequest: malformed, of the wrong shape, empty, or too many rows.
    """
    if content_type.partition(";")[0].strip().lower() == CSV:
        rows: Sequence[Mapping[str, Any]] = _csv(body, signature)
    else:
        rows = _json(_decoded(body), signature)
    plain = [plain_row(row) for row in rows]
    try:
        bodies = msgspec.convert(plain, tuple[wire.RowBody, ...])
    except msgspec.ValidationError as wrong:
        raise misshapen(wrong, plain, "rows") from wrong
    return wire.request_of(bodies, max_rows)


def invocation_reply(answer: PredictAnswer, signature: Signature) -> Predictions:
    """The decisions; as numbers where every label is one, as a scikit-learn model would say them."""
    found = [row.decision for row in answer.predictions]
    if signature.task is not Task.REGRESSION and all(map(_is_whole, signature.labels)):
        return Predictions(tuple(int(decision) for decision in found))
    return Predictions(tuple(found))


def _decoded(body: bytes) -> InvocationBody:
    """A JSON body, in which MLflow's own clients write a missing number as ``NaN``."""
    try:
        return decode(_decoder, body, _names)
    except InvalidRequest as wrong:
        if wrong.code != "malformed_json" or b"NaN" not in body:
            raise
    return decode(_decoder, _NAN.sub(_missing, body), _names)


def _missing(found: re.Match[bytes]) -> bytes:
    return b"null" if found[0] == b"NaN" else found[0]


def _names(sent: InvocationBody) -> int:
    """How many names a body has at least; nested objects are read again."""
    if sent.dataframe_split is not None:
        return 3
    records = sent.dataframe_records or (sent.instances if _are_records(sent.instances) else ())
    columns = sent.inputs if isinstance(sent.inputs, dict) else ()
    return 1 + sum(map(len, records or ())) + len(columns)


def _are_records(rows: list[Any] | None) -> bool:
    return rows is not None and all(isinstance(row, dict) for row in rows)


def _json(sent: InvocationBody, signature: Signature) -> Sequence[Mapping[str, Any]]:
    forms = [sent.dataframe_split, sent.dataframe_records, sent.inputs, sent.instances]
    if sum(form is not None for form in forms) != 1:
        raise InvalidRequest(
            "A request has one of 'dataframe_split', 'dataframe_records', 'inputs', 'instances'.",
            hint='Send {"dataframe_split": {"columns": […], "data": [[…]]}}.',
        )
    if sent.dataframe_split is not None:
        split = sent.dataframe_split
        return _named(split.columns, split.data, "dataframe_split.data")
    if sent.dataframe_records is not None:
        return sent.dataframe_records
    where = "inputs" if sent.inputs is not None else "instances"
    rows = sent.inputs if sent.inputs is not None else sent.instances
    if isinstance(rows, dict):
        return _by_column(rows)
    if rows and all(isinstance(row, dict) for row in rows):
        return rows
    return _named(signature.names, rows or (), where)


def _named(names: Sequence[str], rows: Sequence[Any], where: str) -> Sequence[Mapping[str, Any]]:
    """Rows of values with the columns' names."""
    if len(set(names)) < len(names):
        raise InvalidRequest("Two columns have the same name.", path="dataframe_split.columns")
    for at, row in enumerate(rows):
        if not isinstance(row, list | tuple) or len(row) != len(names):
            raise InvalidRequest(
                f"A row is a list of {len(names)} values: {', '.join(names[:8])}"
                f"{' …' if len(names) > 8 else ''}.",
                path=f"{where}[{at}]",
            )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _by_column(columns: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    rows = None
    for name, values in columns.items():
        rows = len(values) if rows is None and isinstance(values, list) else rows
        if not isinstance(values, list) or len(values) != rows:
            raise InvalidRequest(
                "Every column is a list, and all have the same length.", path=f"inputs.{name[:80]}"
            )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _csv(body: bytes, signature: Signature) -> Sequence[Mapping[str, Any]]:
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as wrong:
        raise InvalidRequest(
            f"The body is not valid CSV: {wrong}.", code="malformed_csv"
        ) from wrong
    names, *rows = [line for line in lines if line] or [[]]
    kinds = {spec.name: _READ[spec.kind] for spec in signature.features}
    kinds["trimtab.event_time"] = _number
    read = [kinds.get(name, str) for name in names]
    return [
        {
            name: None if not text else of(text)
            for name, of, text in zip(names, read, row.values(), strict=True)
        }
        for row in _named(names, rows, "rows")
    ]


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a frame as a plain row: what stands beside its features has columns of its own."""
    own = {OWN[name]: row[name] for name in OWN if row.get(name) is not None}
    return {"features": {name: value for name, value in row.items() if name not in OWN}, **own}


def _number(text: str) -> float | str:
    """The number; the text itself, which the row's checker then refuses with its path."""
    try:
        return float(text)
    except ValueError:
        return text


def _truth(text: str) -> bool | str:
    return _TRUTH.get(text.strip().lower(), text)


def _is_whole(label: str) -> bool:
    return label.isascii() and label.removeprefix("-").isdecimal() and len(label) < 16


_READ: dict[FeatureKind, Callable[[str], Any]] = {
    FeatureKind.NUMERIC: _number,
    FeatureKind.INTEGER: _number,
    FeatureKind.BOOLEAN: _truth,
    FeatureKind.CATEGORICAL: str,
}
