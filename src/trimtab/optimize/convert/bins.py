"""KBinsDiscretizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sklearn.preprocessing import KBinsDiscretizer

from trimtab.optimize.convert.symbols import Cell, Column, Matrix, checked, coded, then


def discretized(discretizer: Any, matrix: Matrix) -> Matrix:
    """The bin of each value, as a number or one-hot."""
    found: list[Column] = []
    for place, column in enumerate(matrix.columns):
        edges = discretizer.bin_edges_[place][1:-1]
        binned = then(checked(column, nan=False), "bins", *edges)
        if discretizer.encode == "ordinal":
            found.append(binned)
            continue
        count = int(discretizer.n_bins_[place])
        coding = coded(binned, [float(code) for code in range(count)], _code)
        found += [Cell(coding, 0.0, ((code, 1.0),)) for code in range(count)]
    return Matrix(tuple(found), sparse=discretizer.encode == "onehot")


def _code(value: Any) -> int:
    return int(value) if isinstance(value, float) and value >= 0 else -1


CONVERTERS: Mapping[type, Callable[[Any, Matrix], Matrix]] = {KBinsDiscretizer: discretized}
