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
@pytest.mark.parametrize("value", [0.0, -1e300, 5e-324])
def test_what_is_finite_is_taken_however_large(rows: int, value: float) -> None:
    _CHECKS["finite"](np.full((rows, 3), value))
    _CHECKS["finite"](np.full((3, rows), value).T)
