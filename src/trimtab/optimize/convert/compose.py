"""Pipeline, ColumnTransformer and FeatureUnion: transformers one after another and side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from trimtab.optimize.convert import transformers
from trimtab.optimize.convert.symbols import Column, Matrix, Unsupported, then


def transformed(transformer: Any, matrix: Matrix) -> Matrix:
    """The symbols of a transformer's output, whether it is one or several.

    Raises:
        Unsupported: a part cannot be compiled; which and why.
    """
    if isinstance(transformer, str) or transformer is None:
        return matrix
    if type(transformer) is Pipeline:
        for _, step in transformer.steps:
            matrix = transformed(step, matrix)
        return matrix
    if type(transformer) is ColumnTransformer:
        return _side_by_side(_branches(transformer, matrix), bool(transformer.sparse_output_))
    if type(transformer) is FeatureUnion:
        parts = [
            _weighted(transformed(part, matrix), (transformer.transformer_weights or {}).get(name))
            for name, part in transformer.transformer_list
            if part != "drop"
        ]
        return _side_by_side(parts, any(part.sparse for part in parts))
    found = transformers.transformed(transformer, matrix)
    if _answers_frames(transformer):
        names = tuple(str(name) for name in transformer.get_feature_names_out())
        return Matrix(found.columns, names, found.sparse)
    return found


def _branches(transformer: Any, matrix: Matrix) -> Iterator[Matrix]:
    weights = transformer.transformer_weights or {}
    for name, part, columns in transformer.transformers_:
        places = _places(columns, matrix)
        if part == "drop" or not places:
            continue
        yield _weighted(transformed(part, matrix.pick(places)), weights.get(name))


def _side_by_side(parts: Iterator[Matrix] | Sequence[Matrix], sparse: bool) -> Matrix:
    columns: list[Column] = []
    for part in parts:
        columns += part.columns
    return Matrix(tuple(columns), sparse=sparse)


def _weighted(matrix: Matrix, weight: float | None) -> Matrix:
    if weight is None:
        return matrix
    columns = tuple(then(column, "multiply", weight) for column in matrix.columns)
    return Matrix(columns, matrix.names, matrix.sparse)


def _places(columns: Any, matrix: Matrix) -> list[int]:
    """Where the columns stand that a branch of a ColumnTransformer takes."""
    count = len(matrix.columns)
    if callable(columns):
        raise Unsupported("a ColumnTransformer keeps a function that chooses its columns")
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            first = _place(columns.start, matrix) if columns.start is not None else 0
            last = _place(columns.stop, matrix) if columns.stop is not None else count - 1
            return list(range(first, last + 1, columns.step or 1))
        return list(range(count))[columns]
    if np.isscalar(columns):
        raise Unsupported("a ColumnTransformer hands on a single column as a vector")
    listed = np.asarray(columns).tolist()
    if listed and all(isinstance(entry, bool) for entry in listed):
        return [place for place, taken in enumerate(listed) if taken]
    return [_place(entry, matrix) for entry in listed]


def _place(entry: Any, matrix: Matrix) -> int:
    if isinstance(entry, int):
        return range(len(matrix.columns))[entry]
    if entry not in matrix.names:
        raise Unsupported(f"the column {entry!r} is looked up by name in what has no names")
    return matrix.names.index(entry)


def _answers_frames(transformer: Any) -> bool:
    asked = getattr(transformer, "_sklearn_output_config", {}).get("transform")
    return asked in {"pandas", "polars"}
