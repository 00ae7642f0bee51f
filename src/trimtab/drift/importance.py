"""How much a model's scores depend on each feature: what drift of it can do to predictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trimtab.types import Array, Columns, FloatArray

_ROWS = 512
_LEAST = 0.01


def permutation_importance(
    score: Callable[[Columns], FloatArray], columns: Columns, *, rows: int = _ROWS
) -> dict[str, float]:
    """By how much scores change when one feature's values are exchanged among rows.

    ``E|s(x) - s(x')|``, where x' has the feature's value of another row, divided by the largest of
    all features. Drift is ranked by its score times this. It is the same for every kind of model,
    and costs one call of the model a feature.

    Args:
        score: Columns to scores, shape ``(rows,)``.
        columns: The reference; evenly spaced rows of it are used.
        rows: How many.

    Returns:
        In [0.01, 1] by name; 1 for all if no feature changes anything.

    Source:
        Breiman, 2001, Machine Learning 45, with the scores themselves in place of a loss, since what
        is estimated is the effect on predictions and outcomes may not be known.
    """
    at = np.unique(np.linspace(0, columns.rows - 1, min(rows, columns.rows)).astype(int))
    sample = [array[at] for array in columns.arrays]
    order = np.random.default_rng(0).permutation(len(at))
    usual = score(_with(columns, sample))
    changes: dict[str, float] = {}
    for place, feature in enumerate(columns.features):
        moved = [*sample]
        moved[place] = sample[place][order]
        changes[feature.name] = float(np.abs(score(_with(columns, moved)) - usual).mean())
    largest = max(changes.values(), default=0.0)
    if not (np.isfinite(largest) and largest > 0):
        return dict.fromkeys(changes, 1.0)
    return {name: max(_LEAST, change / largest) for name, change in changes.items()}


def _with(columns: Columns, arrays: list[Array]) -> Columns:
    return Columns(features=columns.features, arrays=tuple(arrays))
