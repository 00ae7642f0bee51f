"""An infer answer: predictions to tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from trimtab.errors import InvalidRequest
from trimtab.serve.reply import Reply
from trimtab.serve.v2.request import Asked, OutputAsked
from trimtab.serve.v2.tensors import BYTES, encoded
from trimtab.types import PredictAnswer, Prediction, Signature, Task

_json = msgspec.json.Encoder()
BINARY = "application/octet-stream"


class TensorInfo(msgspec.Struct, frozen=True):
    """A tensor as the metadata describes it; -1 is any number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Output:
    datatype: str
    read: Callable[[Prediction], Any]


_OUTPUTS = {
    "score": _Output("FP64", lambda p: p.score),
    "outputs": _Output("FP64", lambda p: p.outputs),
    "decision": _Output(BYTES, lambda p: p.decision),
    "prediction_id": _Output(BYTES, lambda p: p.prediction_id),
    "version": _Output("INT64", lambda p: p.version),
}


def outputs_of(signature: Signature) -> tuple[TensorInfo, ...]:
    """What a model's answers hold; a regression has no decision beside its value."""
    return _outputs(len(signature.labels) or 1, signature.task is not Task.REGRESSION)


@lru_cache
def _outputs(width: int, decides: bool) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(name, output.datatype, (-1, width) if name == "outputs" else (-1,))
        for name, output in _OUTPUTS.items()
        if decides or name != "decision"
    )


def check_outputs(asked: Asked, signature: Signature) -> None:
    """Refuse an output that the model does not have, before anything is predicted.

    Raises:
        InvalidRequest: ``unknown_output``.
    """
    if not asked.outputs:
        return
    known = [info.name for info in outputs_of(signature)]
    for at, output in enumerate(asked.outputs):
        if output.name not in known:
            raise InvalidRequest(
                f"The model has no output {output.name!r:.60}.",
                code="unknown_output",
                path=f"outputs[{at}].name",
                hint=f"It has: {', '.join(known)}.",
            )


class OutputTensor(msgspec.Struct, frozen=True):
    """One output; ``binary`` where it was asked for so."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    elements: list[Any]
    binary: bool


class Told(msgspec.Struct, frozen=True):
    """An answer in tensors; ``version`` is None where rows were answered by several."""

    model: str
    version: int | None
    id: str | None
    epoch: int
    tensors: list[OutputTensor]


def told_of(answer: PredictAnswer, asked: Asked, signature: Signature) -> Told:
    """An answer as the tensors that were asked for, whatever the wire."""
    wanted = asked.outputs or tuple(OutputAsked(info.name) for info in outputs_of(signature))
    versions = {row.version for row in answer.predictions}
    return Told(
        model=answer.model,
        version=versions.pop() if len(versions) == 1 else None,
        id=asked.request.request_id,
        epoch=answer.epoch,
        tensors=[_tensor(output, answer.predictions, asked.binary) for output in wanted],
    )


def infer_reply(told: Told) -> tuple[bytes, int | None]:
    """The body over REST, and the length of its JSON part if binary tensors follow it."""
    blobs: list[bytes] = []
    tensors = []
    for tensor in told.tensors:
        shown: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
        }
        if tensor.binary:
            blobs.append(encoded(tensor.datatype, tensor.elements))
            shown["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            shown["data"] = tensor.elements
        tensors.append(shown)
    head: dict[str, Any] = {"model_name": told.model}
    if told.version is not None:
        head["model_version"] = str(told.version)
    if told.id is not None:
        head["id"] = told.id
    head["parameters"] = {"epoch": told.epoch}
    text = _json.encode({**head, "outputs": tensors})
    return (b"".join([text, *blobs]), len(text)) if blobs else (text, None)


def tensors_reply(told: Told) -> Reply:
    """The reply over REST."""
    content, length = infer_reply(told)
    if length is None:
        return Reply(200, content)
    return Reply(200, content, BINARY, (("inference-header-content-length", str(length)),))


def _tensor(asked: OutputAsked, rows: Sequence[Prediction], binary: bool) -> OutputTensor:
    output = _OUTPUTS[asked.name]
    found = [output.read(row) for row in rows]
    shape: tuple[int, ...] = (len(rows),)
    if asked.name == "outputs":
        shape = (len(rows), len(rows[0].outputs))
        found = [value for row in found for value in row]
    own = asked.parameters.binary_data
    return OutputTensor(asked.name, output.datatype, shape, found, binary if own is None else own)
