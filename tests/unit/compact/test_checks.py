"""Numbers that a linear model does not take are found among few and among many."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trimtab.compact.answer import _CHECKS, FEW
from trimtab.errors import InvalidInput

ROWS = (1, 16, FEW)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("values", [(math.nan,), (math.inf,), (-math.inf,), (math.inf, -math.inf)])
def test_what_is_not_finite_is_refused(rows: int, values: tuple[float, ...]) -> None:
    matrix = np.ones((rows, 3))
    matrix[-1, : len(values)] = values
    with pytest.raises(InvalidInput, match="infinite"):
        _CHECKS["finite"](matrix)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", ["float32", "float32_or_nan"])
def test_what_float32_cannot_hold_is_refused(rows: int, name: str) -> None:
    for value in (1e37, -3.4e38, 5e-324):
        _CHECKS[name](np.full((rows, 3), value))
    for value in (3.5e38, -1e300, math.inf):
        matrix = np.ones((rows, 3))
        matrix[-1, -1] = value
        with pytest.raises(InvalidInput, match="infinite"):
            _CHECKS[name](matrix)


@pytest.mark.parametrize("rows", ROWS)
def test_a_missing_number_is_taken_or_not(rows: int) -> None:
    matrix = np.ones((rows, 3))
    matrix[-1, 0] = math.nan
    _CHECKS["float32_or_nan"](matrix)
    _CHECKS["not_infinite"](matrix)
    with pytest.raises(InvalidInput, match="missing"):
        _CHECKS["float32"](matrix)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("value", [0.0, -1e300, 5e-324])
def test_what_is_finite_is_taken_however_large(rows: int, value: float) -> None:
    _CHECKS["finite"](np.full((rows, 3), value))
    _CHECKS["finite"](np.full((3, rows), value).T)
