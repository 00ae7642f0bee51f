"""Infer requests and answers between gRPC's messages and the protocol's typed bodies."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import replace

from trimtab.serve.decoding import misshapen
from trimtab.serve.rpc.messages import message
from trimtab.serve.v2.reply import Told
from trimtab.serve.v2.request import Asked, InferBody, request_of
from trimtab.serve.v2.tensors import BYTES, InputTensor, encoded, wrong
from trimtab.types import Signature

ModelInferResponse = message("ModelInferResponse")
_ID, _RAW_CONTENTS = b"\x1a", b"\x32"
"""Tags of ``id`` and ``raw_output_contents``, fields 3 and 6 of a ``ModelInferResponse``."""

_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}  # fmt: skip


def parameters(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as plain values; those without a value are left out."""
    chosen = {name: value.WhichOneof("parameter_choice") for name, value in sent.items()}
    return {name: getattr(sent[name], kind) for name, kind in chosen.items() if kind}


def asked_of(sent: Any, signature: Signature, version: int | None, max_rows: int) -> Asked:
    """A ``ModelInferRequest`` as what it asks.

    Raises:
        InvalidRequest: as over REST.
    """
    raw = bool(sent.raw_input_contents)
    if raw and len(sent.raw_input_contents) != len(sent.inputs):
        raise wrong(
            f"There are {len(sent.raw_input_contents)} raw contents for {len(sent.inputs)} inputs.",
            "raw_input_contents",
            "Send the contents of all inputs as raw contents, or of none.",
        )
    inputs = [
        InputTensor(
            name=tensor.name,
            shape=tuple(tensor.shape),
            datatype=tensor.datatype,
            data=_contents(tensor, at, raw=raw),
        )
        for at, tensor in enumerate(sent.inputs)
    ]
    typed = _typed(sent, tuple(inputs))
    parts: list[memoryview | None] = [memoryview(part) for part in sent.raw_input_contents]
    return request_of(typed, parts or [None] * len(typed.inputs), signature, version, max_rows)


def _typed(sent: Any, inputs: tuple[InputTensor, ...]) -> InferBody:
    """The body that would say the same over REST; what messages have no types for is looked at."""
    beside: dict[str, Any] = {}
    if sent.id:
        beside["id"] = sent.id
    if sent.parameters:
        beside["parameters"] = parameters(sent.parameters)
    if sent.outputs:
        beside["outputs"] = [{"name": output.name} for output in sent.outputs]
    if not beside:
        return InferBody(inputs=inputs)
    try:
        return replace(msgspec.convert({"inputs": (), **beside}, InferBody), inputs=inputs)
    except msgspec.ValidationError as not_so:
        raise misshapen(not_so, beside) from not_so


def answer_of(told: Told, *, raw: bool) -> bytes:
    """A ``ModelInferResponse``, its contents raw if those of the request were."""
    shapes = tuple([(tensor.name, tensor.datatype, tensor.shape) for tensor in told.tensors])
    before = _before(told.model, told.version, told.epoch, shapes if raw else ())
    if raw:
        contents = [encoded(tensor.datatype, tensor.elements) for tensor in told.tensors]
        framed = [_field(_RAW_CONTENTS, each) for each in contents]
        return b"".join([before, _field(_ID, (told.id or "").encode()), *framed])
    made = ModelInferResponse.FromString(before)
    made.id = told.id or ""
    for tensor in told.tensors:
        output = made.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        values = getattr(output.contents, _CONTENTS[tensor.datatype])
        texts = tensor.datatype == BYTES
        values.extend(str(e).encode() if texts else e for e in tensor.elements)
    found: bytes = made.SerializeToString()
    return found


@lru_cache
def _before(
    model: str,
    version: int | None,
    epoch: int,
    shapes: tuple[tuple[str, str, tuple[int, ...]], ...],
) -> bytes:
    """What answers of the same rows and the same model have in common: the parts of a message may stand one behind the other."""
    made = ModelInferResponse(model_name=model)
    if version is not None:
        made.model_version = str(version)
    made.parameters["epoch"].int64_param = epoch
    for name, datatype, shape in shapes:
        made.outputs.add(name=name, datatype=datatype, shape=shape)
    found: bytes = made.SerializeToString()
    return found


def _field(tag: bytes, content: bytes) -> bytes:
    """A field of bytes or text. Source: Protocol Buffers' encoding."""
    size, length = len(content), bytearray(tag)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return bytes(length) + content


def _contents(tensor: Any, at: int, *, raw: bool) -> list[Any] | None:
    """A tensor's typed contents; None where they are raw.

    Raises:
        InvalidRequest: they are of another type than the datatype, there twice, or no text.
    """
    if raw and not tensor.HasField("contents"):
        return None
    there, path = [field.name for field, _ in tensor.contents.ListFields()], f"inputs[{at}]"
    if raw:
        if there:
            raise wrong(f"{tensor.name!r:.60} has raw and typed contents.", f"{path}.contents")
        return None
    field = _CONTENTS.get(tensor.datatype)
    strange = [name for name in there if name != field]
    if strange and tensor.datatype in _CONTENTS:
        raise wrong(
            f"The contents of a {tensor.datatype} stand in {strange[0]}.",
            f"{path}.contents",
            f"They belong into {field}.",
        )
    if field is None:
        if tensor.datatype == "FP16":
            raise wrong("FP16 has no typed contents.", f"{path}.contents", "Send it raw.")
        return []
    values = list(getattr(tensor.contents, field))
    if tensor.datatype != BYTES:
        return values
    try:
        return [text.decode() for text in values]
    except UnicodeDecodeError as bad:
        raise wrong("A BYTES element is not UTF-8.", f"{path}.contents") from bad
