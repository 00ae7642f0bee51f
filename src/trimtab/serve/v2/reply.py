"""An infer answer: predictions to tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.errors import InvalidRequest
from trimtab.serve.v2.request import Asked, OutputAsked
from trimtab.serve.v2.tensors import BYTES, encoded
from trimtab.types import PredictAnswer, Prediction, Signature, Task

_json = msgspec.json.Encoder()


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
    width = len(signature.labels) or 1
    return tuple(
        TensorInfo(name, output.datatype, (-1, width) if name == "outputs" else (-1,))
        for name, output in _OUTPUTS.items()
        if name != "decision" or signature.task is not Task.REGRESSION
    )


def check_outputs(asked: Asked, signature: Signature) -> None:
    """Refuse an output that the model does not have, before anything is predicted.

    Raises:
        InvalidRequest: ``unknown_output``.
    """
    known = [info.name for info in outputs_of(signature)]
    for at, output in enumerate(asked.outputs or ()):
        if output.name not in known:
            raise InvalidRequest(
                f"The model has no output {output.name!r:.60}.",
                code="unknown_output",
                path=f"outputs[{at}].name",
                hint=f"It has: {', '.join(known)}.",
            )


def infer_reply(
    answer: PredictAnswer, asked: Asked, signature: Signature
) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON part if binary tensors follow it."""
    rows = answer.predictions
    wanted = asked.outputs or tuple(OutputAsked(info.name) for info in outputs_of(signature))
    blobs: list[bytes] = []
    tensors = [_tensor(output, rows, asked.binary, blobs) for output in wanted]
    head: dict[str, Any] = {"model_name": answer.model}
    versions = {row.version for row in rows}
    if len(versions) == 1:
        head["model_version"] = str(versions.pop())
    if asked.request.request_id is not None:
        head["id"] = asked.request.request_id
    head["parameters"] = {"epoch": answer.epoch}
    text = _json.encode({**head, "outputs": tensors})
    return (b"".join([text, *blobs]), len(text)) if blobs else (text, None)


def _tensor(
    asked: OutputAsked, rows: Sequence[Prediction], binary: bool, blobs: list[bytes]
) -> dict[str, Any]:
    output = _OUTPUTS[asked.name]
    found = [output.read(row) for row in rows]
    shape = [len(rows)]
    if asked.name == "outputs":
        shape.append(len(rows[0].outputs))
        found = [value for row in found for value in row]
    tensor: dict[str, Any] = {"name": asked.name, "datatype": output.datatype, "shape": shape}
    own = asked.parameters.binary_data
    if binary if own is None else own:
        blobs.append(encoded(output.datatype, found))
        return {**tensor, "parameters": {"binary_data_size": len(blobs[-1])}}
    return {**tensor, "data": found}
