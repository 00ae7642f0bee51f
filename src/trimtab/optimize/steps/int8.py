"""Linear models and perceptrons with weights of 8 bits, run by ONNX Runtime."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from trimtab.optimize.forms import Answer, NativeForm, both, stacked
from trimtab.optimize.pipelines import split
from trimtab.protocols import ModelForm
from trimtab.types import FloatArray, Ground, ModelFile

LINEAR = (ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge, SGDClassifier)
PERCEPTRONS = (MLPClassifier, MLPRegressor)
_ACTIVATIONS = {"identity": "Identity", "logistic": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}
_OPSET = 17


@dataclass(frozen=True, slots=True)
class _Layers:
    """Weights of shape ``(in, out)`` and offsets of each layer; ``final`` turns sums into outputs."""

    weights: list[FloatArray]
    offsets: list[FloatArray]
    hidden: str
    final: str
    mean: FloatArray | None
    scale: FloatArray | None


class Int8:
    """Weights as signed bytes, a row's values as bytes scaled to that row's batch.

    Dynamic quantisation: one scale a weight matrix. Offered for linear models and perceptrons,
    alone or behind a ``StandardScaler``.
    """

    name = "int8"
    lossless = False

    def offers(
        self,
        form: ModelForm,
        ground: Ground,  # noqa: ARG002 - the weights need no rows
    ) -> Iterator[tuple[str, ModelForm]]:
        """One form, where the packages ``onnx`` and ``onnxruntime`` are installed."""
        if not isinstance(form, NativeForm) or not (find_spec("onnx") and find_spec("onnxruntime")):
            return
        layers = _layers(form.model)
        if layers is not None:
            yield "weights of 8 bits", OnnxForm(_quantised(layers))


class OnnxForm:
    """An ONNX graph of one input and one output.

    Args:
        graph: The file's bytes.
    """

    def __init__(self, graph: bytes) -> None:
        self._graph = graph
        self._answer = running(graph)

    def outputs(self, rows: Any) -> FloatArray:
        """Class probabilities or values, shape ``(rows, k)``."""
        return self._answer(rows)

    def write(self, path: Path) -> ModelFile:
        """Write the graph."""
        target = path.with_name(f"{path.name}.onnx")
        target.write_bytes(self._graph)
        return ModelFile(path=str(target), opener=f"{__name__}:open_onnx", imports=("onnxruntime",))


def open_onnx(path: Path) -> Answer:
    """A graph's file as a function from rows to outputs."""
    return running(path.read_bytes())


def running(graph: bytes) -> Answer:
    """A graph in ONNX Runtime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    # skl2onnx's classifiers answer labels first; probabilities or values are last.
    output = session.get_outputs()[-1].name
    binary = output == "positive"

    def answer(rows: Any) -> FloatArray:
        (raw,) = session.run([output], {"X": np.asarray(rows, dtype=np.float32)})
        return both(stacked(raw), binary)

    return answer


def graph_of(model: Any) -> bytes | None:
    """A linear model's or perceptron's graph in float32; None for other models."""
    layers = _layers(model)
    return None if layers is None else _graph(layers)


def _layers(model: Any) -> _Layers | None:
    head, tail = split(model)
    mean = scale = None
    if head is not None:
        if len(head.steps) != 1 or type(head.steps[0][1]) is not StandardScaler:
            return None
        mean, scale = head.steps[0][1].mean_, head.steps[0][1].scale_
    if type(tail) in PERCEPTRONS:
        final = {"logistic": "Sigmoid", "softmax": "Softmax"}.get(tail.out_activation_, "Identity")
        hidden = _ACTIVATIONS[tail.activation]
        return _Layers(tail.coefs_, tail.intercepts_, hidden, final, mean, scale)
    if type(tail) not in LINEAR:
        return None
    weights = np.atleast_2d(tail.coef_).T
    final = "Identity"
    if hasattr(tail, "classes_"):
        if not hasattr(tail, "predict_proba"):
            return None
        final = "Sigmoid" if weights.shape[1] == 1 else "Softmax"
        if final == "Softmax" and not isinstance(tail, LogisticRegression):
            return None
    offset = np.atleast_1d(tail.intercept_) * np.ones(weights.shape[1])
    return _Layers([weights], [offset], "Identity", final, mean, scale)


def _quantised(layers: _Layers) -> bytes:
    """The graph with weights of 8 bits, as a file's bytes."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(prefix="trimtab-int8-") as directory:
        whole, small = Path(directory) / "whole.onnx", Path(directory) / "small.onnx"
        whole.write_bytes(_graph(layers))
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)
        try:
            quantize_dynamic(whole, small, weight_type=QuantType.QInt8)
        finally:
            root.setLevel(level)
        return small.read_bytes()


def _graph(layers: _Layers) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []
    last = "X"

    def constant(name: str, value: FloatArray) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype=np.float32), name))
        return name

    def add(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    if layers.mean is not None and layers.scale is not None:
        last = add("Sub", last, constant("mean", layers.mean))
        last = add("Div", last, constant("scale", layers.scale))
    for place, (weights, offset) in enumerate(zip(layers.weights, layers.offsets, strict=True)):
        last = add("MatMul", last, constant(f"weights_{place}", weights))
        last = add("Add", last, constant(f"offset_{place}", offset))
        final = place == len(layers.weights) - 1
        axis = {"axis": 1} if final and layers.final == "Softmax" else {}
        last = add(layers.final if final else layers.hidden, last, **axis)
    output = "positive" if layers.final == "Sigmoid" else "values"
    nodes.append(helper.make_node("Identity", [last], [output]))
    width = layers.weights[-1].shape[1]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, len(layers.weights[0])])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, width])],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
    whole: bytes = made.SerializeToString()
    return whole
