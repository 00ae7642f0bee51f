"""Estimators that are no trees, run by ONNX Runtime, if that answers as the model's own library does."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from trimtab.optimize.convert.dispatch import converter_of
from trimtab.optimize.forms import NativeForm
from trimtab.optimize.pipelines import matrix, split
from trimtab.optimize.steps.int8 import OnnxForm, graph_of
from trimtab.protocols import ModelForm
from trimtab.types import FloatArray, Ground

GATE = 1e-3
"""The largest difference of outputs, times their size where that is over 1, that float32 may make."""

ROWS = 2_000
_REFUSALS = (
    RuntimeError,
    NotImplementedError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NameError,
)
"""What skl2onnx raises for what it cannot convert, and ONNX Runtime for what it cannot open."""


class OnnxRuntime:
    """Perceptrons, machines, neighbours and all else that skl2onnx converts, in float32.

    Graphs of linear models and perceptrons are Trimtab's own. Converters change answers silently, so
    both forms answer the rows for fitting, and beyond the gate nothing is offered; what is, is
    measured like any step that may lose something. Trees have a lossless form and are left out.

    Args:
        gate: The largest difference of outputs.
    """

    name = "onnx"
    lossless = False

    def __init__(self, gate: float = GATE) -> None:
        self._gate = gate

    def offers(self, form: ModelForm, ground: Ground) -> Iterator[tuple[str, ModelForm]]:
        """One form, where the packages ``onnx`` and ``onnxruntime`` are installed."""
        if not isinstance(form, NativeForm) or not (find_spec("onnx") and find_spec("onnxruntime")):
            return
        if converter_of(split(form.model)[1]) is not None:
            return
        rows = (
            ground.fit.X[:ROWS] if not hasattr(ground.fit.X, "iloc") else ground.fit.X.iloc[:ROWS]
        )
        try:
            graph = graph_of(form.model) or _converted(form.model, matrix(rows))
            made = OnnxForm(graph)
            answers = made.outputs(rows)
        except _REFUSALS:
            return
        if within(form.outputs(rows), answers, self._gate):
            yield "ONNX Runtime", made


def within(own: FloatArray, other: FloatArray, gate: float) -> bool:
    """Whether answers are of one shape and differ by no more than the gate, times their size over 1.

    >>> within(np.array([[0.5]]), np.array([[0.5001]]), 1e-3)
    True
    >>> within(np.array([[0.5]]), np.array([[np.nan]]), 1e-3)
    False
    """
    if own.shape != other.shape:
        return False
    return bool((np.abs(own - other) <= gate * np.maximum(1.0, np.abs(own))).all())


def _converted(model: Any, rows: FloatArray) -> bytes:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    shape = [("X", FloatTensorType([None, rows.shape[1]]))]
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    made: bytes = convert_sklearn(model, initial_types=shape, options=options).SerializeToString()
    return made
