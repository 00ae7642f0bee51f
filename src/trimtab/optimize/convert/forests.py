"""Forests and boosters at the end of a pipeline, and boosters by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from trimtab.compact import Link, TreeEnsemble, pack
from trimtab.compact.nodes import Check, Node, Trees
from trimtab.errors import InvalidPlan
from trimtab.optimize.convert.builder import Builder, Method
from trimtab.optimize.convert.dispatch import CONVERTERS, ensemble_of
from trimtab.optimize.convert.symbols import Cell, Column, Matrix, Number, Text, Unsupported, coded
from trimtab.types import FeatureKind, Signature

FLOAT32_ROUNDING = 2.0**-22
"""How far a float32 link may be from the original's, whose exponential is another library's."""

_RAW = {"GradientBoostingClassifier", "HistGradientBoostingClassifier"}


def is_forest(model: Any) -> bool:
    """Whether it is a library's own tree ensemble, not somebody's subclass of one."""
    library = _library(type(model))
    return library in {"sklearn", "lightgbm", "xgboost"} and any(
        (library, kind.__name__) in CONVERTERS for kind in type(model).__mro__
    )


def forest(model: Any, matrix: Matrix, method: Method, builder: Builder) -> Node:
    """The trees, packed, with the output of one method."""
    name = type(model).__name__
    if matrix.sparse and _library(type(model)) == "xgboost":
        raise Unsupported("XGBoost takes the zeros of sparse columns for missing")
    raw = method == "decision_function"
    if raw and name not in _RAW:
        raise Unsupported(f"{name} has no {method}")
    if not hasattr(model, method):
        raise Unsupported(f"{name} answers no probabilities")
    return _leaf(_converted(model), matrix, builder, _check(model, matrix), raw=raw)


def booster(
    model: Any,
    signature: Signature,
    order: Sequence[int],
    codes: Mapping[int, Mapping[str | None, float]],
    builder: Builder,
) -> Node:
    """A booster that is served in its library's own format.

    Args:
        model: The booster.
        signature: What it takes.
        order: The place in the signature of each of the booster's features.
        codes: The codes of categories, by the place of their feature.
        builder: Takes the trees.
    """
    columns = tuple(_feature(place, signature, codes.get(place)) for place in order)
    ensemble = _converted(model)
    if ensemble.link is Link.LOGISTIC and ensemble.columns == 1:
        ensemble = replace(ensemble, link=Link.BINARY)
    check: Check = "not_infinite" if _library(type(model)) == "xgboost" else "none"
    return _leaf(ensemble, Matrix(columns), builder, check, raw=False)


def _feature(place: int, signature: Signature, codes: Mapping[str | None, float] | None) -> Column:
    if signature.features[place].kind is not FeatureKind.CATEGORICAL:
        return Number(place)
    if codes is None:
        raise Unsupported(f"no categories are kept for {signature.features[place].name!r}")
    known = {name: float(code) for name, code in codes.items() if name is not None}
    if len(known) < len(codes):
        raise Unsupported("a booster keeps a code for missing categories")
    places: dict[Any, int] = {name: index for index, name in enumerate(known)}
    coding = coded(Text(place, None), list(known), lambda value: places.get(value, len(places)))
    return Cell(coding, float("nan"), tuple(enumerate(known.values())))


def _converted(model: Any) -> TreeEnsemble:
    try:
        return ensemble_of(model)
    except InvalidPlan as why:
        raise Unsupported(why.message.removesuffix(".")) from why


def _leaf(
    ensemble: TreeEnsemble, matrix: Matrix, builder: Builder, check: Check, *, raw: bool
) -> Node:
    if len(ensemble.groups) > 1:
        raise Unsupported("a forest of several outputs")
    if ensemble.features != len(matrix.columns):
        raise Unsupported(f"the trees read {ensemble.features} columns of {len(matrix.columns)}")
    if ensemble.float32_sums and ensemble.link is not Link.NONE:
        builder.tolerance = max(builder.tolerance, FLOAT32_ROUNDING)
    outputs = ensemble.columns
    if ensemble.link is Link.BINARY and not raw:
        outputs = 2
    section = len(builder.packed)
    builder.packed.append(pack(ensemble))
    return builder.leaf(matrix, Trees(section=section, outputs=outputs, raw=raw), check)


def _check(model: Any, matrix: Matrix) -> Check:
    """What the original refuses before it walks its trees."""
    library, name = _library(type(model)), type(model).__name__
    if library == "lightgbm" or name.startswith("Hist"):
        return "none"
    if library == "xgboost":
        return "not_infinite"
    tree = model if hasattr(model, "tree_") else None
    if tree is None and not name.startswith("Gradient"):
        tree = model.estimators_[0]
    if tree is not None and not matrix.sparse and _allows_nan(tree):
        return "float32_or_nan"
    return "float32"


def _allows_nan(tree: Any) -> bool:
    if tree.monotonic_cst is not None:
        return False
    if hasattr(tree, "__sklearn_tags__"):
        return bool(tree.__sklearn_tags__().input_tags.allow_nan)
    return bool(tree._get_tags()["allow_nan"])  # noqa: SLF001 - before scikit-learn 1.6


def _library(kind: type) -> str:
    return kind.__module__.partition(".")[0]
