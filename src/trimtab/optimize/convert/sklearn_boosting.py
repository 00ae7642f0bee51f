"""scikit-learn's GradientBoosting, and IsolationForest.

GradientBoosting adds ``learning_rate · value`` stage by stage to its initial prediction. The product
is rounded before it is added, as it is in scikit-learn's own wheels for x86-64: outputs are equal to
the last bit. IsolationForest adds ``(depth + average path) - 1`` tree by tree; its outputs here are
those of ``score_samples``, equal to the last bit.

Source: ``sklearn.ensemble._gradient_boosting`` and ``sklearn.ensemble._iforest``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.utils.validation import check_is_fitted

from trimtab.compact import Link, Tree, TreeEnsemble
from trimtab.optimize.convert.refusal import unsupported
from trimtab.optimize.convert.sklearn_trees import neutral
from trimtab.types import FloatArray


def convert(model: Any) -> TreeEnsemble:
    """The trees of a fitted gradient boosting or isolation forest."""
    check_is_fitted(model)
    return _isolation(model) if hasattr(model, "offset_") else _boosting(model)


def _boosting(model: Any) -> TreeEnsemble:
    if not (
        isinstance(model.init_, DummyClassifier | DummyRegressor)
        or (isinstance(model.init_, str) and model.init_ == "zero")
    ):
        raise unsupported(
            model, f"starts from the predictions of another model, {type(model.init_).__name__}"
        )
    blank = np.zeros((1, model.n_features_in_), np.float32)
    link, scale = Link.NONE, 1.0
    if is_classifier(model):
        binary = model.n_classes_ == 2
        link = Link.BINARY if binary else Link.SOFTMAX
        scale = 2.0 if model.loss == "exponential" else 1.0
    return TreeEnsemble(
        trees=_stages(model.estimators_, float(model.learning_rate)),
        features=int(model.n_features_in_),
        base=np.asarray(model._raw_predict_init(blank)[0], np.float64),  # noqa: SLF001 - no other way
        link=link,
        link_scale=scale,
        float32_input=True,
    )


def _stages(estimators: Any, learning_rate: float) -> Sequence[Tree]:
    trees = []
    for stage in estimators:
        for column, estimator in enumerate(stage):
            tree = neutral(estimator.tree_, (1,))
            # scikit-learn lets no NaN through; what its own walk does with one is go right.
            trees.append(
                replace(
                    tree,
                    value=learning_rate * tree.value,
                    column=column,
                    default_left=np.zeros(tree.nodes, bool),
                )
            )
    return trees


def _isolation(model: Any) -> TreeEnsemble:
    lengths = zip(
        model._decision_path_lengths,  # noqa: SLF001 - what score_samples itself adds up
        model._average_path_length_per_tree,  # noqa: SLF001 - as above
        strict=True,
    )
    trees = [
        _isolation_tree(estimator.tree_, np.asarray(features), (depth + path - 1.0)[:, None])
        for estimator, features, (depth, path) in zip(
            model.estimators_, model.estimators_features_, lengths, strict=True
        )
    ]
    return TreeEnsemble(
        trees=trees,
        features=int(model.n_features_in_),
        base=np.zeros(1),
        link=Link.ISOLATION,
        link_scale=len(trees) * _average_path_length(int(model.max_samples_)),
        float32_input=True,
    )


def _isolation_tree(tree: Any, features: Any, value: FloatArray) -> Tree:
    converted = neutral(tree, (1,))
    columns = np.where(converted.left >= 0, features[np.maximum(converted.feature, 0)], 0)
    return replace(converted, value=value, feature=columns.astype(np.int32))


def _average_path_length(samples: int) -> float:
    """Of unsuccessful searches in a binary tree of so many samples.

    Source: Liu, Ting, Zhou (2008), "Isolation Forest", equation 1, as scikit-learn computes it.
    """
    if samples <= 1:
        return 0.0
    if samples == 2:
        return 1.0
    return float(
        2.0 * (np.log(np.array([samples]) - 1.0) + np.euler_gamma)[0]
        - 2.0 * (samples - 1.0) / samples
    )
