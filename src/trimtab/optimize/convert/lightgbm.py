"""LightGBM: boosters, its scikit-learn classes, and model files, which need no LightGBM to be read.

Leaf values are added in float64 in the order of the trees, links are computed with the C library's
exponential: outputs are equal to the last bit. Numbers that are no floats are rounded to float32 first, as
LightGBM's Python package does, and what lies within 1e-35 of 0 is read as 0. Columns of pandas categories are read as their codes.

Source: ``include/LightGBM/tree.h``, ``Tree::NumericalDecision`` and ``Tree::CategoricalDecision``;
``tests/property/test_law_11_converters.py`` compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from trimtab.compact import CategorySet, Link, Missing, Reading, Tree, TreeEnsemble
from trimtab.errors import InvalidPlan
from trimtab.optimize.convert.refusal import unsupported
from trimtab.types import Array, FloatArray

_CATEGORICAL, _DEFAULT_LEFT, _MISSING_SHIFT = 1, 2, 2
_MISSING = np.array([Missing.NEVER, Missing.ZERO, Missing.NAN], np.uint8)
_EXP = {"poisson", "gamma", "tweedie"}
_IDENTITY = {
    *("regression", "regression_l1", "huber", "fair", "quantile", "mape"),
    *("lambdarank", "rank_xendcg", "custom", "none", ""),
}


def convert(model: Any) -> TreeEnsemble:
    """The trees of a booster or of a fitted LGBMClassifier, LGBMRegressor or LGBMRanker.

    Trees after the best iteration are left out, as they are when LightGBM predicts.
    """
    booster = getattr(model, "booster_", model)
    two_columns = getattr(model, "n_classes_", 0) == 2 and hasattr(model, "predict_proba")
    return from_text(booster.model_to_string(), two_columns=two_columns)


def from_text(text: str, *, two_columns: bool = False) -> TreeEnsemble:
    """The trees of a model file.

    Args:
        text: What LightGBM saved.
        two_columns: Answer the probabilities of both classes of a binary model, as
            ``predict_proba`` does, instead of that of the second one.

    Raises:
        InvalidPlan: it is no model file, or uses something that is not supported.
    """
    sections = text.split("\nTree=")
    head = _fields(sections[0])
    if "num_tree_per_iteration" not in head:
        raise InvalidPlan("This is no LightGBM model file.", code="not_a_model_file")
    columns = int(head["num_tree_per_iteration"])
    sets: list[CategorySet] = []
    raw = [_fields(section) for section in sections[1:]]
    categories = _categories(raw)
    trees = [_tree(tree, place % columns, sets) for place, tree in enumerate(raw)]
    link, scale = _link(head.get("objective", ""), two_columns=two_columns)
    return TreeEnsemble(
        trees=trees,
        features=int(head["max_feature_idx"]) + 1,
        base=np.zeros(columns),
        divisor=len(trees) // columns if "average_output" in head else 1,
        link=link,
        link_scale=scale,
        float32_integers=True,
        tiny_is_zero=True,
        category_sets=tuple(sets),
        categories=categories,
        reading=Reading.TRUNCATE,
    )


def _link(objective: str, *, two_columns: bool) -> tuple[Link, float]:
    name, *settings = objective.split() or [""]
    given = dict(setting.partition(":")[::2] for setting in settings)
    scale = float(given.get("sigmoid", 1.0))
    if name in {"binary", "cross_entropy"}:
        return (Link.BINARY if two_columns else Link.LOGISTIC), scale
    if name == "multiclass":
        return Link.SOFTMAX_LIBM, 1.0
    if name == "multiclassova":
        return Link.LOGISTIC, scale
    if name in _EXP:
        return Link.EXP_LIBM, 1.0
    if name in _IDENTITY and "sqrt" not in settings:
        return Link.NONE, 1.0
    raise unsupported("LightGBM", f"has the objective {objective!r}")


def _fields(section: str) -> dict[str, str]:
    lines = section.partition("\n\n")[0].splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def _numbers(tree: dict[str, str], name: str, kind: Any) -> Array:
    text = tree.get(name, "")
    return np.array(text.split(), dtype=np.float64 if kind is np.float64 else np.int64).astype(kind)


def _categories(trees: list[dict[str, str]]) -> dict[int, FloatArray]:
    """Every category that some split names, by feature; all others always go right."""
    found: dict[int, set[float]] = {}
    for tree in trees:
        for feature, chosen in _categorical_splits(tree):
            found.setdefault(feature, set()).update(chosen)
    return {feature: np.array(sorted(known)) for feature, known in found.items()}


def _categorical_splits(tree: dict[str, str]) -> Iterator[tuple[int, frozenset[float]]]:
    """Feature and left categories of each categorical node, in the order of the nodes."""
    if int(tree["num_leaves"]) < 2 or int(tree["num_cat"]) == 0:
        return
    bounds = _numbers(tree, "cat_boundaries", np.int64)
    words = _numbers(tree, "cat_threshold", np.uint32)
    thresholds = _numbers(tree, "threshold", np.float64)
    features = _numbers(tree, "split_feature", np.int64)
    for node in np.flatnonzero(_numbers(tree, "decision_type", np.uint8) & _CATEGORICAL):
        place = int(thresholds[node])
        bits = np.unpackbits(
            np.ascontiguousarray(words[bounds[place] : bounds[place + 1]]).view(np.uint8),
            bitorder="little",
        )
        yield int(features[node]), frozenset(map(float, np.flatnonzero(bits)))


def _tree(tree: dict[str, str], column: int, sets: list[CategorySet]) -> Tree:
    if tree.get("is_linear", "0") == "1":
        raise unsupported("LightGBM", "has linear models in its leaves")
    leaf_value = _numbers(tree, "leaf_value", np.float64)
    leaves = len(leaf_value)
    inner = leaves - 1
    left = np.full(inner + leaves, -1, np.int32)
    right = left.copy()
    value = np.zeros((inner + leaves, 1))
    value[inner:, 0] = leaf_value
    feature, threshold = np.zeros(inner + leaves, np.int32), np.zeros(inner + leaves)
    kinds, category_set = np.zeros(inner + leaves, np.uint8), None
    cover = np.ones(inner + leaves)
    if inner:
        left[:inner] = _children(_numbers(tree, "left_child", np.int32), inner)
        right[:inner] = _children(_numbers(tree, "right_child", np.int32), inner)
        feature[:inner] = _numbers(tree, "split_feature", np.int32)
        threshold[:inner] = _numbers(tree, "threshold", np.float64)
        kinds[:inner] = _numbers(tree, "decision_type", np.uint8)
        cover[:inner] = _numbers(tree, "internal_count", np.float64)
        cover[inner:] = _numbers(tree, "leaf_count", np.float64)
    splits = [chosen for _, chosen in _categorical_splits(tree)]
    if splits:
        category_set = np.full(inner + leaves, -1, np.int32)
        places = np.arange(len(sets), len(sets) + len(splits))
        category_set[np.flatnonzero(kinds & _CATEGORICAL)] = places
        sets.extend(CategorySet(chosen) for chosen in splits)
    return Tree(
        feature=feature,
        threshold=threshold,
        left=left,
        right=right,
        value=value,
        column=column,
        default_left=kinds & _DEFAULT_LEFT != 0,
        missing=_MISSING[kinds >> _MISSING_SHIFT & 3],
        category_set=category_set,
        cover=cover,
    )


def _children(stored: Array, inner: int) -> Array:
    return np.where(stored >= 0, stored, inner - 1 - stored)
