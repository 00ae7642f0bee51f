"""Which converter reads which transformer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trimtab.optimize.convert import bins, encode, expand, functions, impute, scale, select
from trimtab.optimize.convert.symbols import Matrix, Unsupported

Converter = Callable[[Any, Matrix], Matrix]

CONVERTERS: Mapping[type, Converter] = {
    **bins.CONVERTERS,
    **encode.CONVERTERS,
    **expand.CONVERTERS,
    **functions.CONVERTERS,
    **impute.CONVERTERS,
    **scale.CONVERTERS,
}
"""By exact type: a subclass may have changed what transforming means."""


def transformed(transformer: Any, matrix: Matrix) -> Matrix:
    """The symbols of a transformer's output.

    Raises:
        Unsupported: it cannot be compiled; why.
    """
    converter = CONVERTERS.get(type(transformer))
    if converter is None and select.selects(transformer):
        converter = select.selected
    if converter is None:
        raise Unsupported(f"{type(transformer).__name__} is not among the transformers compiled")
    return converter(transformer, matrix)
