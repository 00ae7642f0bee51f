"""Which converter takes which model; a library is imported only when a model of it comes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from trimtab.compact import TreeEnsemble
from trimtab.optimize.convert.refusal import unsupported

# A class and the module in `trimtab.optimize.convert` whose `convert` takes it. A class is known by
# the library's name and its own: where it lies inside the library changes between releases.
CONVERTERS = {
    **{
        ("sklearn", name): "sklearn_trees"
        for name in (
            "DecisionTreeClassifier",
            "DecisionTreeRegressor",
            "ExtraTreesClassifier",
            "ExtraTreesRegressor",
            "RandomForestClassifier",
            "RandomForestRegressor",
        )
    },
    ("sklearn", "GradientBoostingClassifier"): "sklearn_boosting",
    ("sklearn", "GradientBoostingRegressor"): "sklearn_boosting",
    ("sklearn", "IsolationForest"): "sklearn_boosting",
    ("sklearn", "HistGradientBoostingClassifier"): "sklearn_histogram",
    ("sklearn", "HistGradientBoostingRegressor"): "sklearn_histogram",
    ("lightgbm", "Booster"): "lightgbm",
    ("lightgbm", "LGBMModel"): "lightgbm",
    ("xgboost", "Booster"): "xgboost",
    ("xgboost", "XGBModel"): "xgboost",
}


def converter_of(model: Any) -> str | None:
    """The name of the module that converts models of this class, or None."""
    for kind in type(model).__mro__:
        name = CONVERTERS.get((kind.__module__.partition(".")[0], kind.__name__))
        if name is not None:
            return name
    return None


def ensemble_of(model: Any) -> TreeEnsemble:
    """The trees of a fitted model in the neutral record.

    Raises:
        InvalidPlan: the model is of a kind that is not supported, or uses something that is not;
            the message says what and why.
    """
    name = converter_of(model)
    if name is not None:
        ensemble: TreeEnsemble = import_module(f"{__package__}.{name}").convert(model)
        return ensemble
    known = sorted({name for _, name in CONVERTERS})
    raise unsupported(
        model, f"is no tree ensemble that is known here; known are {', '.join(known)}"
    )
