"""Collects what a compact model is made of while an estimator is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sklearn.pipeline import Pipeline

from trimtab.compact.nodes import Check, Leaf, Linear, Node, Trees
from trimtab.compact.program import Program
from trimtab.optimize.convert.compose import transformed
from trimtab.optimize.convert.link import linked
from trimtab.optimize.convert.symbols import Matrix, Unsupported

Method = Literal["predict_proba", "decision_function", "predict"]


@dataclass(slots=True)
class Builder:
    """Programs and forests, each once.

    ``readers`` read estimators, by exact type: a subclass may have changed what predicting means.
    ``forest`` reads tree ensembles that ``is_forest`` knows. ``packed`` are forests in the compact
    format, as bytes. ``tolerance`` is how far outputs may be from the original's, whose arithmetic is
    not its own.
    """

    readers: Mapping[type, Reader]
    is_forest: Callable[[Any], bool]
    forest: Reader
    programs: list[Program] = field(default_factory=list)
    packed: list[bytes] = field(default_factory=list)
    tolerance: float = 0.0

    def read(self, model: Any, matrix: Matrix, method: Method) -> Node:
        """An estimator, or a pipeline that ends in one, on the columns it is given.

        Raises:
            Unsupported: a part cannot be compiled; which and why.
        """
        if type(model) is Pipeline:
            *steps, (_, last) = model.steps
            for _, step in steps:
                matrix = transformed(step, matrix)
            return self.read(last, matrix, method)
        reader = self.readers.get(type(model))
        if reader is None and self.is_forest(model):
            reader = self.forest
        if reader is None:
            raise Unsupported(f"{type(model).__name__} is not among the estimators compiled")
        return reader(model, matrix, method, self)

    def program(self, matrix: Matrix) -> int:
        """The number of the program that makes a matrix."""
        made = linked(matrix.columns)
        if made not in self.programs:
            self.programs.append(made)
        return self.programs.index(made)

    def leaf(self, matrix: Matrix, model: Linear | Trees, check: Check) -> Leaf:
        """A model on a matrix."""
        return Leaf(program=self.program(matrix), model=model, check=check)


Reader = Callable[[Any, Matrix, Method, Builder], Node]
"""Reads an estimator on the columns it is given, answering with one of its methods."""
