"""scikit-learn's HistGradientBoosting: missing values and categories included.

Inputs stay float64. Values are added predictor by predictor to the baseline prediction; outputs are
equal to the last bit. A category is looked for as it was in training, before scikit-learn's own
encoder made a number of it; an unknown one goes where missing values go.

Source: ``sklearn.ensemble._hist_gradient_boosting._predictor._predict_one_from_raw_data``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from trimtab.compact import CategorySet, Link, Tree, TreeEnsemble
from trimtab.optimize.convert.refusal import unsupported
from trimtab.types import Array, FloatArray


def convert(model: Any) -> TreeEnsemble:
    """The trees of a fitted histogram gradient boosting."""
    check_is_fitted(model)
    features = int(model.n_features_in_)
    categorical = np.zeros(features, bool)
    if model.is_categorical_ is not None:
        categorical = np.asarray(model.is_categorical_, bool)
    # scikit-learn moves categorical columns to the front.
    columns = np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
    categories = _categories(model, categorical)
    sets: list[CategorySet] = []
    trees = [
        _tree(predictor, column, columns, categories, sets)
        for stage in model._predictors  # noqa: SLF001 - the trees stand nowhere else
        for column, predictor in enumerate(stage)
    ]
    return TreeEnsemble(
        trees=trees,
        features=features,
        base=np.asarray(model._baseline_prediction, np.float64).reshape(-1),  # noqa: SLF001 - as above
        link=_link(model),
        category_sets=tuple(sets),
        categories=categories,
    )


def _link(model: Any) -> Link:
    if is_classifier(model):
        return Link.SOFTMAX if model.n_trees_per_iteration_ > 1 else Link.BINARY
    return Link.EXP if model.loss in {"poisson", "gamma"} else Link.NONE


def _categories(model: Any, categorical: Array) -> dict[int, FloatArray]:
    """The known categories of each categorical feature as they come in, ascending."""
    if not categorical.any():
        return {}
    encoder = model._preprocessor.named_transformers_["encoder"]  # noqa: SLF001 - as above
    found = {}
    for feature, known in zip(np.flatnonzero(categorical), encoder.categories_, strict=True):
        values = np.asarray(known)
        if values.dtype.kind not in "fiub":
            raise unsupported(
                model,
                f"has texts as categories of feature {feature}; numbers can be used, so encode "
                "them before the model",
            )
        numbers = values.astype(np.float64)
        found[int(feature)] = numbers[~np.isnan(numbers)]
    return found


def _tree(
    predictor: Any,
    column: int,
    columns: Array,
    categories: dict[int, FloatArray],
    sets: list[CategorySet],
) -> Tree:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    feature = np.where(inner, columns[np.where(inner, nodes["feature_idx"], 0)], 0)
    category_set = None
    if categories:
        category_set = np.full(len(nodes), -1, np.int32)
        for node in np.flatnonzero(inner & (nodes["is_categorical"] == 1)):
            category_set[node] = len(sets)
            bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
            known = categories[int(feature[node])]
            missing_left = bool(nodes["missing_go_to_left"][node])
            sets.append(CategorySet(_chosen(bits, known), missing_left, missing_left))
    return Tree(
        feature=feature.astype(np.int32),
        threshold=np.where(inner, nodes["num_threshold"], 0.0),
        left=np.where(inner, nodes["left"], -1).astype(np.int32),
        right=np.where(inner, nodes["right"], -1).astype(np.int32),
        value=np.array(nodes["value"], np.float64)[:, None],
        column=column,
        default_left=nodes["missing_go_to_left"].astype(bool),
        category_set=category_set,
        cover=nodes["count"].astype(np.float64),
    )


def _chosen(bits: Array, known: FloatArray) -> frozenset[float]:
    places = np.flatnonzero(
        np.unpackbits(np.ascontiguousarray(bits).view(np.uint8), bitorder="little")
    )
    return frozenset(float(known[place]) for place in places if place < len(known))
