"""A fitted estimator or pipeline as the parts of a compact model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.compact.nodes import Node
from trimtab.optimize.convert import composites, linear
from trimtab.optimize.convert.builder import Builder, Method, Reader
from trimtab.optimize.convert.read import sources
from trimtab.types import Signature, Task

READERS: Mapping[type, Reader] = {**composites.READERS, **linear.READERS}


def compiled(model: Any, signature: Signature) -> tuple[Node, Builder]:
    """What a model answers in serving, without its code.

    Raises:
        Unsupported: a part cannot be compiled; which and why.
    """
    builder = Builder(READERS)
    method: Method = "predict" if signature.task is Task.REGRESSION else "predict_proba"
    return builder.read(model, sources(model, signature), method), builder
