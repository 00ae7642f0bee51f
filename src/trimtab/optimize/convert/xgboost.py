"""XGBoost: boosters (gbtree and dart) and its scikit-learn classes.

Inputs, thresholds, leaf values and every partial sum are float32, as in XGBoost. Sums are equal to
the last bit: the base score first, then tree by tree. Outputs after a logistic, softmax or
exponential link are within one unit in the last place of a float32 (XGBoost's exponential is the C
library's).

Source: ``src/predictor/cpu_predictor.cc`` and ``src/common/math.h`` of XGBoost.
"""

from __future__ import annotations

import ctypes
import json
from dataclasses import replace
from typing import Any

import numpy as np

from trimtab.compact import CategorySet, Link, Reading, Tree, TreeEnsemble
from trimtab.optimize.convert.refusal import unsupported
from trimtab.types import FloatArray

_LOGISTIC = {"binary:logistic", "reg:logistic"}
_SOFTMAX = {"multi:softprob", "multi:softmax"}
_EXP = {"count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"}
_IDENTITY = {
    *("reg:squarederror", "reg:squaredlogerror", "reg:absoluteerror", "reg:pseudohubererror"),
    *("reg:quantileerror", "binary:logitraw", "rank:pairwise", "rank:ndcg", "rank:map"),
}


def convert(model: Any) -> TreeEnsemble:
    """The trees of a booster or of a fitted XGBClassifier, XGBRegressor or XGBRanker.

    The scikit-learn classes leave out trees after the best iteration, as they do when they predict.
    """
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if booster is not model and getattr(booster, "best_iteration", None) is not None:
        booster = _until_best(booster)
    learner = json.loads(booster.save_raw("json"))["learner"]
    two_columns = booster is not model and hasattr(model, "predict_proba")
    return _ensemble(model, learner, two_columns=two_columns)


def _until_best(booster: Any) -> Any:
    try:
        best = booster.best_iteration
    except AttributeError:  # XGBoost says so where training was not stopped early
        return booster
    return booster[: best + 1]


def _ensemble(model: Any, learner: dict[str, Any], *, two_columns: bool) -> TreeEnsemble:
    booster, parameters = learner["gradient_booster"], learner["learner_model_param"]
    kind = booster["name"]
    if kind not in {"gbtree", "dart"}:
        raise unsupported(model, f"boosts {kind}, not trees")
    weights = booster.get("weight_drop", []) if kind == "dart" else []
    grown = (booster["gbtree"] if kind == "dart" else booster)["model"]
    columns = max(int(parameters["num_class"]), int(parameters.get("num_target", 1)), 1)
    link = _link(model, learner["objective"]["name"], columns, two_columns=two_columns)
    sets: list[CategorySet] = []
    raw = grown["trees"]
    if any(int(tree["tree_param"].get("size_leaf_vector", 1)) > 1 for tree in raw):
        raise unsupported(model, "has several outputs in one tree (multi_output_tree)")
    trees = [
        _tree(tree, column, sets) for tree, column in zip(raw, grown["tree_info"], strict=True)
    ]
    if weights:
        trees = [
            replace(tree, value=_weighted(tree.value, weight))
            for tree, weight in zip(trees, weights, strict=True)
        ]
    categories = _categories(trees, sets)
    return TreeEnsemble(
        trees=trees,
        features=int(parameters["num_feature"]),
        base=_margins(parameters["base_score"], link, columns),
        link=link,
        strict=True,
        float32_input=True,
        float32_sums=True,
        category_sets=tuple(sets),
        categories=categories,
        reading=Reading.FLOOR,
    )


def _link(model: Any, objective: str, columns: int, *, two_columns: bool) -> Link:
    if objective in _LOGISTIC:
        return Link.BINARY if two_columns and columns == 1 else Link.LOGISTIC
    if objective in _SOFTMAX:
        return Link.SOFTMAX
    if objective in _EXP:
        return Link.EXP
    if objective in _IDENTITY:
        return Link.NONE
    raise unsupported(model, f"has the objective {objective}")


def _log(number: float) -> float:
    """The logarithm in single precision, by the C library's function as in XGBoost: 1 in 250 differs from the double's, rounded."""
    system = ctypes.CDLL(None).logf
    system.argtypes, system.restype = [ctypes.c_float], ctypes.c_float
    told: float = system(number)
    return told


def _margins(stored: str, link: Link, columns: int) -> FloatArray:
    """Base scores before the link; they are stored as outputs."""
    scores = [float(np.float32(text)) for text in stored.strip("[]").split(",")]
    if link in {Link.LOGISTIC, Link.BINARY}:
        scores = [-_log(float(np.float32(1 / score) - np.float32(1))) for score in scores]
    elif link is Link.EXP:
        scores = [_log(score) for score in scores]
    margins = np.array(scores, np.float32).astype(np.float64)
    return np.broadcast_to(margins, columns).copy()


def _weighted(value: FloatArray, weight: float) -> FloatArray:
    return (value.astype(np.float32) * np.float32(weight)).astype(np.float64)


def _tree(tree: dict[str, Any], column: int, sets: list[CategorySet]) -> Tree:
    left = np.array(tree["left_children"], np.int32)
    condition = np.array(tree["split_conditions"], np.float32).astype(np.float64)
    inner = left >= 0
    category_set = None
    if tree["categories_nodes"]:
        category_set = np.full(len(left), -1, np.int32)
        chosen = np.array(tree["categories"], np.int64)
        for node, start, size in zip(
            tree["categories_nodes"],
            tree["categories_segments"],
            tree["categories_sizes"],
            strict=True,
        ):
            category_set[node] = len(sets)
            # The set that is stored goes right; _categories turns it round once all are known.
            right_set = frozenset(map(float, chosen[start : start + size]))
            sets.append(CategorySet(right_set, True, bool(tree["default_left"][node])))
    return Tree(
        feature=np.where(inner, tree["split_indices"], 0).astype(np.int32),
        threshold=np.where(inner, condition, 0.0),
        left=left,
        right=np.array(tree["right_children"], np.int32),
        value=np.where(inner, 0.0, condition)[:, None],
        column=column,
        default_left=np.array(tree["default_left"], bool),
        category_set=category_set,
        cover=np.array(tree["sum_hessian"], np.float64),
    )


def _categories(trees: list[Tree], sets: list[CategorySet]) -> dict[int, FloatArray]:
    """Every category that some split names, by feature; all others always go left."""
    found: dict[int, set[float]] = {}
    places: list[tuple[int, int]] = []
    for tree in trees:
        if tree.category_set is None:
            continue
        for node in np.flatnonzero(tree.category_set >= 0):
            place, feature = int(tree.category_set[node]), int(tree.feature[node])
            found.setdefault(feature, set()).update(sets[place].left)
            places.append((place, feature))
    for place, feature in places:
        split = sets[place]
        sets[place] = replace(split, left=frozenset(found[feature] - split.left))
    return {feature: np.array(sorted(known)) for feature, known in found.items()}
