"""FunctionTransformer of a NumPy function that works cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sklearn.preprocessing import FunctionTransformer

from trimtab.compact.steps import FUNCTIONS
from trimtab.optimize.convert.symbols import Column, Matrix, Number, Unsupported, checked, then
from trimtab.types import FeatureKind

_KEEP_INTEGERS = {"absolute", "negative", "reciprocal", "sign", "square"}
"""Functions that NumPy computes in whole numbers where it is given whole numbers."""


def function_of(transformer: Any, matrix: Matrix) -> Matrix:
    """Each column through the function.

    Raises:
        Unsupported: it is a function of somebody's own, or takes arguments.
    """
    function = transformer.func
    columns = matrix.columns
    if transformer.validate:
        columns = tuple(checked(column, nan=False) for column in columns)
    if function is None:
        return Matrix(columns, matrix.names, matrix.sparse)
    name = getattr(function, "__name__", "")
    if FUNCTIONS.get(name) is not function or transformer.kw_args:
        raise Unsupported(
            f"FunctionTransformer calls {name or function!r}, which is no plain NumPy function"
        )
    return Matrix(tuple(_applied(column, name) for column in columns), matrix.names, matrix.sparse)


def _applied(column: Column, name: str) -> Column:
    if isinstance(column, Number):
        whole = column.kind is FeatureKind.INTEGER and name in _KEEP_INTEGERS
        if whole or column.kind is FeatureKind.BOOLEAN:
            raise Unsupported(f"{name} of {column.kind.value} values has a type of its own")
    return then(column, name)


CONVERTERS: Mapping[type, Callable[[Any, Matrix], Matrix]] = {FunctionTransformer: function_of}
