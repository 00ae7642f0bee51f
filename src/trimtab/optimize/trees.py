"""Fewer trees: really taken out of a fitted scikit-learn ensemble.

Setting ``n_estimators`` on a fitted ensemble changes nothing: predictions walk ``estimators_``.
"""

from __future__ import annotations

import copy
from typing import TypeVar

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.utils.validation import check_is_fitted

from trimtab.errors import InvalidPlan

ENSEMBLES = (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

T = TypeVar("T")


def drop_trees(ensemble: T, keep: int) -> T:
    """A copy of a fitted ensemble that has its first ``keep`` trees (of boosting: stages) only.

    The trees themselves are shared with the original, which is not changed. Out-of-bag figures of
    the whole ensemble are left out of the copy.

    Args:
        ensemble: A fitted random forest, extra trees or gradient boosting.
        keep: From 1 to the number of trees.

    Raises:
        InvalidPlan: another kind of model, or a number of trees out of bounds.
        sklearn.exceptions.NotFittedError: it is not fitted.
    """
    if not isinstance(ensemble, ENSEMBLES):
        raise InvalidPlan(
            f"{type(ensemble).__name__} has no trees that can be dropped.",
            code="not_an_ensemble",
            hint=f"Possible: {', '.join(kind.__name__ for kind in ENSEMBLES)}.",
        )
    check_is_fitted(ensemble)
    trees = len(ensemble.estimators_)
    if not 1 <= keep <= trees:
        raise InvalidPlan(
            f"{keep} of {trees} trees cannot be kept.", code="trees_out_of_bounds", path="keep"
        )
    fewer = copy.copy(ensemble)
    fewer.estimators_ = ensemble.estimators_[:keep]
    fewer.n_estimators = keep
    if hasattr(fewer, "n_estimators_"):
        fewer.n_estimators_ = keep
    for name in [name for name in vars(fewer) if name.startswith(("oob_", "train_score_"))]:
        delattr(fewer, name)
    return fewer
