"""Predictions in Arrow's streaming format, for batches: a column for each feature, a column for each part of the answer.

The columns ``trimtab.key``, ``trimtab.event_time`` and ``trimtab.prediction_id`` are what a plain row brings
beside its features. The body comes from anybody, so nothing is unpacked that could be larger than it is:
compressed buffers and views are refused, and a dictionary's values are shared between rows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec.structs import replace
from pyarrow import ipc

from trimtab.errors import InvalidRequest
from trimtab.serve import wire
from trimtab.serve.decoding import misshapen
from trimtab.serve.invocations import OWN, plain_row
from trimtab.types import PredictAnswer, PredictRequest, RowRequest

_TIME = "trimtab.event_time"
_HEADER, _DATA, _COMPRESSION = 2, 1, 3
"""Fields of Message, DictionaryBatch and RecordBatch in Arrow's Message.fbs."""


@contextmanager
def _told_as_malformed() -> Iterator[None]:
    """What the body is not, in the words of who read it.

    Raises:
        InvalidRequest: ``malformed_arrow``.
    """
    try:
        yield
    except (pa.ArrowException, OSError, struct.error, IndexError, UnicodeDecodeError) as wrong:
        said = str(wrong).splitlines() or [type(wrong).__name__]
        raise InvalidRequest(
            f"The body is no stream of Arrow record batches: {said[0][:200]}.",
            code="malformed_arrow",
            hint="Write it with pyarrow.ipc.new_stream.",
        ) from wrong


def record_batches(body: bytes, max_rows: int) -> list[Any]:
    """The record batches of a stream, whose columns have different names.

    Raises:
        InvalidRequest: no stream, compressed, or too many rows.
    """
    with _told_as_malformed():
        batches = _batches(body)
        names = batches[0].schema.names if batches else []
    rows = sum(batch.num_rows for batch in batches)
    if rows > max_rows:
        raise InvalidRequest(
            f"{rows:,} rows in one request; at most {max_rows:,} are taken.",
            code="too_many_rows",
            hint="Split the request, or use `trimtab score` for a batch.",
        )
    if len(set(names)) < len(names):
        raise InvalidRequest("Two columns have the same name.", code="duplicate_name")
    return batches


def arrow_request(batches: Sequence[Any], max_rows: int) -> PredictRequest:
    """Rows of record batches, each a request's row like any other.

    Raises:
        InvalidRequest: of columns that hold no feature.
    """
    names = batches[0].schema.names if batches else []
    features = [name for name in names if name not in OWN]
    with _told_as_malformed():
        found = [row for batch in batches for row in _rows(batch, features)]
        beside = [row for batch in batches for row in _rows(batch, [n for n in names if n in OWN])]
    plain = [plain_row(row) for row in beside]
    try:
        bodies = msgspec.convert(plain, tuple[wire.RowBody, ...])
    except msgspec.ValidationError as wrong:
        raise misshapen(wrong, plain, "rows") from wrong
    request = wire.request_of(bodies, max_rows)
    # What Arrow's types hold are scalars: they need no second look.
    return replace(
        request,
        rows=tuple(
            RowRequest(
                features=values,
                key=row.key,
                prediction_id=row.prediction_id,
                event_time=row.event_time,
            )
            for row, values in zip(request.rows, found, strict=True)
        ),
    )


def arrow_reply(answers: Sequence[PredictAnswer]) -> bytes:
    """Answers of one model as one record batch; the model and the epoch are the schema's metadata."""
    rows = [row for answer in answers for row in answer.predictions]
    texts = all(isinstance(row.decision, str) for row in rows)
    ends = np.cumsum([0, *(len(row.outputs) for row in rows)], dtype=np.int32)
    outputs = pa.array([value for row in rows for value in row.outputs], pa.float64())
    arrays = {
        "prediction_id": pa.array([row.prediction_id for row in rows], pa.string()),
        "version": pa.array([row.version for row in rows], pa.int64()),
        "arm": pa.array([row.arm for row in rows], pa.string()),
        "score": pa.array([row.score for row in rows], pa.float64()),
        "outputs": pa.ListArray.from_arrays(pa.array(ends), outputs),
        "decision": pa.array(
            [row.decision for row in rows], pa.string() if texts else pa.float64()
        ),
        "sources": pa.array([row.sources for row in rows], pa.string()),
    }
    batch = pa.record_batch(arrays).replace_schema_metadata(
        {"model": answers[0].model, "epoch": str(answers[0].epoch)}
    )
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _batches(body: bytes) -> list[Any]:
    """The record batches, whose buffers are known to hold what their lengths say."""
    for message in _messages(body):
        if message.type in {"record batch", "dictionary"} and _is_compressed(
            message.metadata.to_pybytes(), in_dictionary=message.type == "dictionary"
        ):
            raise InvalidRequest(
                "The buffers of the stream are compressed.",
                code="unsupported_media_type",
                hint="Write them as they are; the whole body may be packed by gzip.",
            )
    with ipc.open_stream(body) as stream:
        batches = list(stream)
    for batch in batches:
        batch.validate(full=True)
    return batches


def _messages(body: bytes) -> Iterator[Any]:
    reader = ipc.MessageReader.open_stream(body)
    while True:
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _rows(batch: Any, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    if not names:
        return ({} for _ in range(batch.num_rows))
    columns = [values_of(name, batch.column(name)) for name in names]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def values_of(name: str, column: Any) -> list[Any]:
    """A column's values as a client of the other wires would send them.

    Raises:
        InvalidRequest: it holds none.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        known = values_of(name, column.dictionary)
        return [None if at is None else known[at] for at in column.indices.to_pylist()]
    if name == _TIME and pa.types.is_timestamp(kind):
        if kind.tz is None:
            raise _column(name, "has times without an offset from UTC")
        return list(column.cast(pa.timestamp("us", kind.tz), safe=False).to_pylist())
    if pa.types.is_float16(kind):
        column = column.cast(pa.float32())
    elif not any(holds(kind) for holds in _HOLD):
        raise _column(name, f"is of the type {kind}")
    if pa.types.is_floating(column.type) and not column.null_count:
        return list(column.to_numpy().tolist())
    return list(column.to_pylist())


_HOLD = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_null,
)


def _column(name: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"The column {name!r:.80} {what:.80}.",
        code="invalid_column",
        path=name[:80],
        hint=f"Columns hold numbers, truth values or text; {', '.join(OWN)} as documented.",
    )


def _is_compressed(message: bytes, *, in_dictionary: bool) -> bool:
    """Whether the buffers of a batch are, as its FlatBuffers table says.

    Source: Message.fbs of Apache Arrow's format, and the layout of FlatBuffers' tables.
    """
    (root,) = struct.unpack_from("<I", message, 0)
    table = _table(message, root, _HEADER)
    if in_dictionary:
        table = _table(message, table, _DATA)
    return _field(message, table, _COMPRESSION) is not None


def _table(message: bytes, table: int, field: int) -> int:
    """Where a table's member that is a table stands."""
    at = _field(message, table, field)
    if at is None:
        raise IndexError(f"its message has no field {field}")
    (offset,) = struct.unpack_from("<I", message, at)
    return at + int(offset)


def _field(message: bytes, table: int, field: int) -> int | None:
    """Where a table's member stands, None if it is not there."""
    (back,) = struct.unpack_from("<i", message, table)
    (size,) = struct.unpack_from("<H", message, table - back)
    slot = 4 + 2 * field
    if slot + 2 > size:
        return None
    (offset,) = struct.unpack_from("<H", message, table - back + slot)
    return table + int(offset) if offset else None
