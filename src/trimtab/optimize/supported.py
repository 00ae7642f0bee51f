"""What can be optimised and how, and what stands in the way of a model that cannot."""

from __future__ import annotations

from typing import Any

from trimtab.errors import InvalidPlan
from trimtab.optimize.convert import ensemble_of
from trimtab.optimize.convert.dispatch import CONVERTERS
from trimtab.optimize.convert.estimators import READERS
from trimtab.optimize.convert.transformers import CONVERTERS as TRANSFORMERS
from trimtab.optimize.pipelines import split
from trimtab.optimize.steps.int8 import LINEAR, PERCEPTRONS
from trimtab.types import Record


class Way(Record, frozen=True):
    """One way to make models smaller or faster: what takes it, and how equal its answers are."""

    way: str
    equal: str
    when: str
    takes: tuple[str, ...]


NEVER = (
    "boosting that starts from another model",
    "XGBoost's gblinear, and its trees with several outputs each",
    "LightGBM's linear leaves",
    "objectives whose link is not known",
    "texts as categories inside HistGradientBoosting (encode them before the model)",
    "subclasses of a library's estimators, and transformers of your own",
)
"""What is refused although its kind is listed."""


def ways() -> tuple[Way, ...]:
    """All that is supported, read from what the converters themselves say."""
    trees = sorted(f"{library}.{name}" for library, name in CONVERTERS)
    read = {kind.__name__ for kind in READERS}
    composed = sorted(name for name in read if name.startswith(("Cal", "Stack", "Vot")))
    return (
        Way("compact forest", "every decision; sums to the last bit", "always", tuple(trees)),
        Way("parts compiled inside", "to a few roundings", "at registration", tuple(composed)),
        Way(
            "compiled linear model",
            "to a few roundings",
            "at registration",
            tuple(sorted(read - set(composed))),
        ),
        Way(
            "compiled preprocessing",
            "every value",
            "at registration",
            tuple(sorted({kind.__name__ for kind in TRANSFORMERS} | {"feature selectors"})),
        ),
        Way(
            "ONNX Runtime in float32",
            "measured, inside a budget; left out where it differs by more than 0.001",
            "with --budget",
            ("linear models", "perceptrons", "support vector machines", "all skl2onnx converts"),
        ),
        Way(
            "8-bit weights",
            "measured, inside a budget",
            "with --budget",
            tuple(sorted(kind.__name__ for kind in (*LINEAR, *PERCEPTRONS))),
        ),
        Way(
            "students, fewer features",
            "measured, inside a budget",
            "with --budget",
            ("any model with numeric columns",),
        ),
    )


def hindrance(model: Any) -> str:
    """Why the trees of a fitted model cannot be made compact, and what answers instead; or nothing.

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> hindrance(KNeighborsClassifier()).partition(";")[0]
    'KNeighborsClassifier cannot be made compact: it is no tree ensemble that is known here'
    """
    _, tail = split(model)
    try:
        ensemble_of(tail)
    except InvalidPlan as why:
        said = why.message.removesuffix(".")
        return f"{said}. It answers as its own library runs it; --supported lists what can be done."
    return ""
