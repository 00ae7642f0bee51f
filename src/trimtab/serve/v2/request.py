"""An infer request: tensors to rows.

Each feature (and each entity by which feature views are looked up) is a tensor of its name, of shape
``[n]`` or ``[n, 1]``. A model that takes no text may be sent one tensor of shape ``[n, features]`` under
any other name, in the order of the signature; NaN is a missing value.

A routing key, an event time and a prediction id are parameters of the request (``key``,
``event_time``, ``prediction_id``) or, row by row, tensors named ``trimtab.key`` and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trimtab.errors import InvalidRequest
from trimtab.schema.plain import Key
from trimtab.serve import wire
from trimtab.serve.decoding import decode
from trimtab.serve.v2.tensors import InputTensor, Parameters, values, wrong
from trimtab.types import FeatureKind, PredictRequest, RowRequest, Scalar, Signature

OWN = "trimtab."
_BY_ROW = ("key", "event_time", "prediction_id")


class OutputAsked(msgspec.Struct, frozen=True):
    """One output that a client wants."""

    name: str
    parameters: Parameters = Parameters()


class RequestParameters(msgspec.Struct, frozen=True):
    """What is ours and what is the binary extension's; others' parameters are ignored."""

    key: Key | None = None
    event_time: wire.Time | None = None
    prediction_id: wire.Id | None = None
    deadline_ms: Annotated[float, Meta(gt=0)] | None = None
    binary_data_output: bool = False


class InferBody(msgspec.Struct, frozen=True):
    """The JSON part of an infer request."""

    inputs: tuple[InputTensor, ...]
    id: wire.Id | None = None
    parameters: RequestParameters = RequestParameters()
    outputs: tuple[OutputAsked, ...] | None = None


class Asked(msgspec.Struct, frozen=True):
    """What was asked: rows to predict, and how the answer is to look."""

    request: PredictRequest
    outputs: tuple[OutputAsked, ...] | None
    binary: bool


_decoder = msgspec.json.Decoder(InferBody)


def infer_request(
    body: bytes, header_length: int | None, signature: Signature, version: int | None, max_rows: int
) -> Asked:
    """Decode an infer request.

    Args:
        body: JSON, followed by binary tensors if ``header_length`` is given.
        header_length: Bytes of the JSON part; the header Inference-Header-Content-Length.
        signature: What the model takes.
        version: The version that is to answer, None for the one that routing chooses.
        max_rows: More are refused.

    Raises:
        InvalidRequest: malformed, cut off, of the wrong shape, or too many rows.
    """
    if header_length is not None and not 0 < header_length <= len(body):
        raise InvalidRequest(
            f"The header Inference-Header-Content-Length says {header_length:,}; "
            f"the body has {len(body):,} bytes.",
            code="invalid_tensor",
            hint="It is the length of the JSON part, at the beginning of the body.",
        )
    sent = decode(_decoder, body if header_length is None else body[:header_length], _names)
    parts = _parts(sent.inputs, memoryview(body)[header_length or len(body) :])
    return request_of(sent, parts, signature, version, max_rows)


def request_of(
    sent: InferBody,
    parts: Sequence[memoryview | None],
    signature: Signature,
    version: int | None,
    max_rows: int,
) -> Asked:
    """What a typed body asks.

    Args:
        sent: The body.
        parts: The binary data of each input, None where its data stand in the body.
        signature: What the model takes.
        version: The version that is to answer, None for the one that routing chooses.
        max_rows: More are refused.

    Raises:
        InvalidRequest: of the wrong shape, or too many rows.
    """
    tensors = _tensors(sent.inputs, parts)
    rows = _rows(tensors, signature, max_rows)
    own = sent.parameters
    if own.prediction_id is not None and len(rows) > 1:
        raise wrong(
            f"One prediction_id for {len(rows)} rows.",
            "parameters.prediction_id",
            f"Send a tensor {OWN}prediction_id.",
        )
    by_row = {name: _by_row(tensors, name, len(rows)) for name in _BY_ROW}
    when = wire.seconds(own.event_time, "parameters.event_time")
    return Asked(
        PredictRequest(
            rows=tuple(
                RowRequest(
                    features=row,
                    key=_text(key, own.key, "key", 512),
                    event_time=_time(time, when),
                    prediction_id=_text(name, own.prediction_id, "prediction_id", 128),
                )
                for row, key, time, name in zip(rows, *by_row.values(), strict=True)
            ),
            request_id=sent.id,
            deadline_ms=own.deadline_ms,
            version=version,
        ),
        sent.outputs,
        own.binary_data_output,
    )


def _names(sent: InferBody) -> int:
    """How many names a body has at least; one with parameters is read again."""
    found = 1 + (sent.id is not None)
    if sent.outputs is not None:
        found += 1 + len(sent.outputs)
    return found + sum(3 + (tensor.data is not None) for tensor in sent.inputs)


class _Tensor(msgspec.Struct, frozen=True):
    shape: tuple[int, ...]
    elements: list[Scalar]
    path: str


def _parts(inputs: Sequence[InputTensor], rest: memoryview) -> list[memoryview | None]:
    """The binary parts of the inputs, which follow each other in their order."""
    found: list[memoryview | None] = []
    for at, tensor in enumerate(inputs):
        size = tensor.parameters.binary_data_size
        if size is None:
            found.append(None)
            continue
        if not 0 <= size <= len(rest):
            raise wrong(
                f"{size:,} bytes are announced, {len(rest):,} are left of the body.",
                f"inputs[{at}].parameters.binary_data_size",
            )
        found.append(rest[:size])
        rest = rest[size:]
    if len(rest):
        raise wrong(f"{len(rest):,} bytes of the body belong to no input.", "inputs")
    return found


def _tensors(
    inputs: Sequence[InputTensor], parts: Sequence[memoryview | None]
) -> dict[str, _Tensor]:
    """The inputs by name."""
    found: dict[str, _Tensor] = {}
    for at, (tensor, raw) in enumerate(zip(inputs, parts, strict=True)):
        path = f"inputs[{at}]"
        if tensor.name in found:
            raise wrong(f"There are two inputs {tensor.name!r}.", f"{path}.name")
        found[tensor.name] = _Tensor(tensor.shape, values(tensor, raw, path), path)
    return found


def _rows(
    tensors: dict[str, _Tensor], signature: Signature, max_rows: int
) -> list[dict[str, Scalar]]:
    features = {name: t for name, t in tensors.items() if not name.startswith(OWN)}
    if not features:
        raise wrong("There is no input.", "inputs", "Send a tensor for each feature.")
    only = next(iter(features.values()))
    rows = only.shape[0]
    if rows == 0:
        raise wrong("The inputs have no rows.", f"{only.path}.shape")
    if rows > max_rows:
        raise InvalidRequest(
            f"{rows:,} rows in one request; at most {max_rows:,} are taken.",
            code="too_many_rows",
            path=f"{only.path}.shape",
            hint="Split the request, or use `trimtab score` for a batch.",
        )
    if len(features) == 1 and not features.keys() & set(signature.names) and len(only.shape) == 2:
        return _matrix(only, signature)
    fits = {(rows,), (rows, 1)}
    for tensor in features.values():
        if tensor.shape not in fits:
            raise wrong(
                f"The shape is {list(tensor.shape)}; the first input has {rows:,} rows.",
                f"{tensor.path}.shape",
                f"Every feature is a tensor of shape [{rows}] or [{rows}, 1].",
            )
    columns = [tensor.elements for tensor in features.values()]
    return [dict(zip(features, row, strict=True)) for row in zip(*columns, strict=True)]


def _matrix(tensor: _Tensor, signature: Signature) -> list[dict[str, Scalar]]:
    """One tensor of all features, in the signature's order."""
    specs = signature.features
    texts = [spec.name for spec in specs if spec.kind is FeatureKind.CATEGORICAL]
    rows, width = tensor.shape
    if texts or width != len(specs):
        raise wrong(
            f"One tensor of shape {list(tensor.shape)} cannot hold the {len(specs)} features"
            + (f", of which {texts[0]!r} is text." if texts else "."),
            f"{tensor.path}.shape",
            f"Send a tensor for each feature: {', '.join(signature.names[:8])}"
            f"{' …' if len(specs) > 8 else ''}.",
        )
    flags = [spec.kind is FeatureKind.BOOLEAN for spec in specs]
    taken = tensor.elements
    return [
        {
            spec.name: bool(value) if flag and value in {0, 1} else value
            for spec, flag, value in zip(
                specs, flags, taken[at * width : (at + 1) * width], strict=True
            )
        }
        for at in range(rows)
    ]


def _by_row(tensors: dict[str, _Tensor], name: str, rows: int) -> list[Any]:
    tensor = tensors.get(OWN + name)
    if tensor is None:
        return [None] * rows
    if tensor.shape not in {(rows,), (rows, 1)}:
        raise wrong(f"The shape is {list(tensor.shape)} for {rows:,} rows.", f"{tensor.path}.shape")
    return tensor.elements


def _text(value: Scalar, default: str | None, name: str, longest: int) -> str | None:
    if value is None:
        return default
    if not isinstance(value, str) or not 1 <= len(value) <= longest:
        raise wrong(f"{value!r:.60} is no {name} of 1 to {longest} characters.", OWN + name)
    return value


def _time(value: Scalar, default: float | None) -> float | None:
    if value is None:
        return default
    if isinstance(value, bool | str):
        raise wrong(f"{value!r:.60} is no time in Unix seconds.", OWN + "event_time")
    return float(value)
