"""Which converter takes which model; a library is imported only when a model of it comes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from trimtab.compact import TreeEnsemble
from trimtab.errors import InvalidPlan

# A class and the module in `trimtab.optimize.convert` whose `convert` takes it. A class is known by
# the library's name and its own: where it lies inside the library changes between releases.
CONVERTERS = {
    ("sklearn", "DecisionTreeClassifier"): "sklearn_trees",
    ("sklearn", "DecisionTreeRegressor"): "sklearn_trees",
    ("sklearn", "ExtraTreeClassifier"): "sklearn_trees",
    ("sklearn", "ExtraTreeRegressor"): "sklearn_trees",
    ("sklearn", "ExtraTreesClassifier"): "sklearn_trees",
    ("sklearn", "ExtraTreesRegressor"): "sklearn_trees",
    ("sklearn", "RandomForestClassifier"): "sklearn_trees",
    ("sklearn", "RandomForestRegressor"): "sklearn_trees",
}


def ensemble_of(model: Any) -> TreeEnsemble:
    """The trees of a fitted model in the neutral record.

    Raises:
        InvalidPlan: the model is of a kind that is not supported, or uses something that is not;
            the message says what and why.
    """
    for kind in type(model).__mro__:
        name = CONVERTERS.get((kind.__module__.partition(".")[0], kind.__name__))
        if name is not None:
            ensemble: TreeEnsemble = import_module(f"{__package__}.{name}").convert(model)
            return ensemble
    known = sorted({name for _, name in CONVERTERS})
    raise unsupported(
        model, f"is no tree ensemble that is known here; known are {', '.join(known)}"
    )


def unsupported(model: Any, why: str) -> InvalidPlan:
    """The refusal of a model."""
    return InvalidPlan(
        f"{type(model).__name__} cannot be made compact: it {why}.",
        code="unsupported_model",
        hint="Serve it in its own format.",
    )
