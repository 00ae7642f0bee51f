"""Linear models: their coefficients, in the original's own arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lars,
    Lasso,
    LassoCV,
    LassoLars,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    RidgeClassifier,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.svm import LinearSVC, LinearSVR

from trimtab.compact.nodes import Linear, Link, Node
from trimtab.compact.program import numbers
from trimtab.optimize.convert.builder import Builder, Method, Reader
from trimtab.optimize.convert.symbols import Matrix, Unsupported


def regressor(model: Any, matrix: Matrix, method: Method, builder: Builder) -> Node:
    """A weighted sum, of one outcome or several."""
    if method != "predict":
        raise Unsupported(f"{type(model).__name__} has no {method}")
    return builder.leaf(matrix, _linear(model, "identity", matrix), "finite")


def log_linear(model: Any, matrix: Matrix, method: Method, builder: Builder) -> Node:
    """The exponential of a weighted sum."""
    if method != "predict":
        raise Unsupported(f"{type(model).__name__} has no {method}")
    link = getattr(model, "link", "log")
    if link not in {"log", "auto"} or (link == "auto" and model.power <= 0):
        return builder.leaf(matrix, _linear(model, "identity", matrix), "finite")
    return builder.leaf(matrix, _linear(model, "exp", matrix), "finite")


def classifier(model: Any, matrix: Matrix, method: Method, builder: Builder) -> Node:
    """Scores of classes, or what the model makes of them."""
    if method == "decision_function":
        return builder.leaf(matrix, _linear(model, "identity", matrix), "finite")
    if method == "predict" or not hasattr(model, "predict_proba"):
        raise Unsupported(f"{type(model).__name__} answers no probabilities")
    return builder.leaf(matrix, _linear(model, _link(model), matrix), "finite")


def _link(model: Any) -> Link:
    binary = len(model.classes_) == 2
    if isinstance(model, SGDClassifier):
        if model.loss == "modified_huber" and binary:
            return "huber"
        if model.loss != "log_loss":
            raise Unsupported(f"SGDClassifier of {len(model.classes_)} classes, {model.loss}")
        return "logistic" if binary else "one_vs_rest"
    asked = getattr(model, "multi_class", "deprecated")
    if binary:
        if asked == "multinomial":
            raise Unsupported("a multinomial logistic regression of two classes")
        return "logistic"
    if asked == "ovr" or model.solver == "liblinear":
        return "one_vs_rest"
    return "softmax"


def _linear(model: Any, link: Link, matrix: Matrix) -> Linear:
    slopes = np.asarray(model.coef_)
    if slopes.dtype != np.float64:
        raise Unsupported(f"{type(model).__name__} was fitted in {slopes.dtype}")
    if hasattr(slopes, "toarray"):
        raise Unsupported(f"{type(model).__name__} keeps its coefficients sparse")
    return Linear(
        coefficients=numbers(slopes),
        intercepts=numbers(np.atleast_1d(model.intercept_)),
        outputs=0 if slopes.ndim == 1 else len(slopes),
        link=link,
        in_order=matrix.sparse,
    )


READERS: Mapping[type, Reader] = {
    **dict.fromkeys(
        (
            ARDRegression, BayesianRidge, ElasticNet, ElasticNetCV, HuberRegressor, Lars, Lasso,
            LassoCV, LassoLars, LinearRegression, LinearSVR, QuantileRegressor, Ridge, RidgeCV,
            SGDRegressor, TheilSenRegressor,
        ),
        regressor,
    ),
    **dict.fromkeys((GammaRegressor, PoissonRegressor, TweedieRegressor), log_linear),
    **dict.fromkeys(
        (LinearSVC, LogisticRegression, LogisticRegressionCV, RidgeClassifier, SGDClassifier),
        classifier,
    ),
}  # fmt: skip
