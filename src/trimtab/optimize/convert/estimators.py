"""A fitted estimator or pipeline as the parts of a compact model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.pipeline import Pipeline

from trimtab.compact.nodes import Node
from trimtab.optimize.convert import composites, linear
from trimtab.optimize.convert.builder import Builder, Method, Reader
from trimtab.optimize.convert.forests import booster, forest, is_forest
from trimtab.optimize.convert.read import sources
from trimtab.optimize.convert.symbols import Matrix, Number, Unsupported
from trimtab.types import Signature, Task

READERS: Mapping[type, Reader] = {**composites.READERS, **linear.READERS}


Encoding = tuple[Sequence[int], Mapping[int, Mapping[str | None, float]]]
"""The order of a booster's features in the signature, and the codes of categories by place."""


def compiled(
    model: Any, signature: Signature, encoding: Encoding | None = None
) -> tuple[Node, Builder]:
    """What a model answers in serving, without its code.

    Raises:
        Unsupported: a part cannot be compiled; which and why.
    """
    builder = Builder(READERS, is_forest, forest)
    if encoding is not None:
        return booster(model, signature, *encoding, builder), builder
    method: Method = "predict" if signature.task is Task.REGRESSION else "predict_proba"
    return builder.read(model, sources(model, signature), method), builder


def compiled_last(model: Any, signature: Signature) -> tuple[Node, Builder]:
    """The last step of a pipeline, on the matrix that the steps before it make.

    Raises:
        Unsupported: it is no pipeline, or its last step cannot be compiled.
    """
    if type(model) is not Pipeline or len(model.steps) < 2:
        raise Unsupported("there is nothing before its last step")
    last = model.steps[-1][1]
    width = int(last.n_features_in_)
    builder = Builder(READERS, is_forest, forest)
    method: Method = "predict" if signature.task is Task.REGRESSION else "predict_proba"
    matrix = Matrix(tuple(Number(place) for place in range(width)))
    return builder.read(last, matrix, method), builder
