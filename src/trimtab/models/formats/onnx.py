"""ONNX graphs through onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnxruntime

from trimtab.errors import InvalidInput
from trimtab.models.formats.matrix import outputs
from trimtab.types import Array, Columns, FeatureKind, FloatArray, Signature

_GRAPH_FIELD = 7
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}


class OnnxFormat:
    """A serialised ``ModelProto``."""

    name = "onnx"
    runs_code = False

    def sniff(self, path: Path) -> bool:
        """Whether the file is a protocol buffer message whose fields include a graph."""
        with path.open("rb") as file:
            return _GRAPH_FIELD in _fields(file, path.stat().st_size)

    def load(self, path: Path, signature: Signature) -> OnnxPredictor:
        """Load a file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        return OnnxPredictor(session, signature)

    def accepts(self, model: object) -> bool:
        """Whether it is an ``onnx.ModelProto``; the ``onnx`` package itself is not needed."""
        kind = type(model)
        return kind.__name__ == "ModelProto" and kind.__module__.startswith("onnx")

    def save(self, model: object, path: Path) -> None:
        """Write a model."""
        path.write_bytes(model.SerializeToString())  # type: ignore[attr-defined]  # accepts() saw it


class OnnxPredictor:
    """A session as a :class:`~trimtab.protocols.Predictor`.

    The graph takes one tensor of all features, or one tensor a feature, named as in the signature.
    """

    def __init__(self, session: onnxruntime.InferenceSession, signature: Signature) -> None:
        self._session = session
        self._task = signature.task
        self._inputs = [(entry.name, _TYPES.get(entry.type)) for entry in session.get_inputs()]
        self._places = _places([name for name, _ in self._inputs], signature)
        self._output = _output(session)
        for spec in signature.features:
            if spec.kind is FeatureKind.CATEGORICAL and spec.nullable:
                raise InvalidInput(
                    f"{spec.name!r} may be missing, but ONNX has no missing string.",
                    hint="Fill missing categories with a word of their own before training.",
                    code="signature_mismatch",
                    path=spec.name,
                )

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, k)``."""
        feed: dict[str, Array] = {}
        for (name, kind), places in zip(self._inputs, self._places, strict=True):
            taken = [columns.arrays[place] for place in places]
            feed[name] = np.column_stack(taken).astype(kind)
        (raw,) = self._session.run([self._output], feed)
        return outputs(raw, self._task)


def _places(inputs: list[str], signature: Signature) -> list[list[int]]:
    own = list(signature.names)
    if inputs == own or (len(inputs) == len(own) > 1 and sorted(inputs) == sorted(own)):
        return [[own.index(name)] for name in inputs]
    if len(inputs) == 1:
        return [list(range(len(own)))]
    raise InvalidInput(
        f"The graph takes {inputs}, but the signature names {own}.",
        hint="Export it with one input a feature, named as the features, or one for all.",
        code="signature_mismatch",
    )


def _output(session: onnxruntime.InferenceSession) -> str:
    """The name of the output that holds probabilities or the regression value."""
    for entry in reversed(session.get_outputs()):
        if entry.type in ("tensor(float)", "tensor(double)"):
            return str(entry.name)
    raise InvalidInput(
        "The graph answers no tensor of numbers.",
        hint="With skl2onnx, convert with options={'zipmap': False}.",
        code="signature_mismatch",
    )


def _fields(file: BinaryIO, size: int) -> set[int]:
    """The top-level field numbers of a protocol buffer message; empty if it is not one."""
    found: set[int] = set()
    while file.tell() < size:
        tag = _varint(file)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            _varint(file)
        elif kind == 2:
            file.seek(_varint(file), 1)
        else:
            return set()
        if not 0 < number < 64:
            return set()
        found.add(number)
    return found if file.tell() == size else set()


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return 0
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            break
    return value
