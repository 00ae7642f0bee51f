"""Feature selectors, of which only the choice of columns remains."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.feature_selection import SelectorMixin

from trimtab.optimize.convert.symbols import Matrix, checked


def selects(transformer: Any) -> bool:
    """Whether it is a selector of scikit-learn's own making."""
    return isinstance(transformer, SelectorMixin) and type(transformer).__module__.startswith(
        "sklearn."
    )


def selected(selector: Any, matrix: Matrix) -> Matrix:
    """The columns that it keeps, all of them checked as scikit-learn does."""
    nan = _allows_nan(selector)
    columns = tuple(checked(column, nan=nan) for column in matrix.columns)
    whole = Matrix(columns, matrix.names, matrix.sparse)
    return whole.pick(np.flatnonzero(selector.get_support()).tolist())


def _allows_nan(selector: Any) -> bool:
    if hasattr(selector, "__sklearn_tags__"):
        return bool(selector.__sklearn_tags__().input_tags.allow_nan)
    return bool(selector._get_tags()["allow_nan"])  # noqa: SLF001 - before scikit-learn 1.6
