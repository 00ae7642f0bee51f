"""PolynomialFeatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sklearn.preprocessing import PolynomialFeatures

from trimtab.optimize.convert.symbols import (
    Cell,
    Coding,
    Column,
    Matrix,
    Number,
    Product,
    Unsupported,
    checked,
)

MAX_COLUMNS = 5_000


def polynomial(expander: Any, matrix: Matrix) -> Matrix:
    """Products of columns, multiplied in scikit-learn's own order."""
    if matrix.sparse:
        raise Unsupported("PolynomialFeatures of sparse columns multiplies in another order")
    if expander.n_output_features_ > MAX_COLUMNS:
        raise Unsupported(f"PolynomialFeatures makes {expander.n_output_features_} columns")
    columns = [checked(column, nan=False) for column in matrix.columns]
    if not columns:
        return Matrix(())
    made: dict[tuple[int, ...], Column] = {}
    found = []
    for powers in expander.powers_:
        factors = tuple(place for place, power in enumerate(powers) for _ in range(int(power)))
        found.append(_product(factors, columns, made))
    return Matrix(tuple(found))


def _product(
    factors: tuple[int, ...], columns: list[Column], made: dict[tuple[int, ...], Column]
) -> Column:
    if not factors:
        return _one(columns[0])
    if len(factors) == 1:
        return columns[factors[0]]
    if factors not in made:
        rest = _product(factors[1:], columns, made)
        product = Product(rest, columns[factors[0]])
        made[factors] = Number(product, gaps=False, wild=True)
    return made[factors]


def _one(column: Column) -> Column:
    """A column of ones, whatever the values of this one."""
    if isinstance(column, Cell):
        return Cell(column.coding, 1.0)
    if isinstance(column, Number):
        return Cell(Coding(column, (), (), 0, 0), 1.0)
    raise Unsupported("PolynomialFeatures of text")


CONVERTERS: Mapping[type, Callable[[Any, Matrix], Matrix]] = {PolynomialFeatures: polynomial}
