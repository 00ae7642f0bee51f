"""A scikit-learn model that reads fewer columns, with figures of what that changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec

from trimtab.errors import Conflict
from trimtab.optimize.parity import Report
from trimtab.optimize.quick import Quick, quick
from trimtab.optimize.select import Selected, select_features


class OptimizedModel:
    """Selects features, fits a copy of the model on them, and goes on taking all columns.

    Trees of the kinds that can be made compact answer from their compact form, which was seen to
    decide as they do; rows that it does not take go to the model.

    Args:
        model: A scikit-learn estimator, fitted or not; it is not changed.
        feature_selector: Anything with ``fit`` and ``get_support``, such as ``SelectKBest``; it is
            not changed. One that asks for more features than there are keeps them all. None keeps
            every feature.

    Example:
        >>> import numpy as np
        >>> from sklearn.feature_selection import SelectKBest
        >>> from sklearn.linear_model import LinearRegression
        >>> X = np.random.default_rng(0).normal(size=(400, 3))
        >>> model = OptimizedModel(LinearRegression(), SelectKBest(lambda X, y: abs(y @ X), k=1))
        >>> model.optimize_for_inference(X, 2 * X[:, 1]).report.kept
        ('1',)
        >>> model.predict([[9.0, 3.0, 9.0]]).round(6).tolist()
        [6.0]
    """

    def __init__(self, model: Any, feature_selector: Any = None) -> None:
        self.model = model
        self.feature_selector = feature_selector
        self._selected: Selected | None = None
        self._quick: Quick | None = None

    def optimize_for_inference(self, X_train: Any, y_train: Any) -> OptimizedModel:
        """Select and fit; itself, ready to predict.

        Args:
            X_train: Shape ``(rows, columns)``: a pandas frame or an array.
            y_train: Shape ``(rows,)``.

        Raises:
            InvalidPlan: the model or the selector cannot be fitted on these rows.
        """
        found = select_features(self.model, self.feature_selector, X_train, y_train)
        self._quick = quick(found.model, found.pick(X_train))
        if self._quick is not None:
            report = msgspec.structs.replace(
                found.report,
                compact_bytes=self._quick.forest.size_bytes,
                compact_row_us=self._quick.row_us,
            )
            found = dataclasses.replace(found, report=report)
        self._selected = found
        return self

    def predict(self, X: Any) -> Any:
        """The optimised model's answer for rows with their original columns.

        Raises:
            Conflict: nothing has been optimised yet.
            InvalidPlan: the rows do not have the original columns.
        """
        ready = self._ready()
        found = None if self._quick is None else self._quick.predict(ready.pick(X))
        return ready.predict(X) if found is None else found

    @property
    def predict_proba(self) -> Callable[[Any], Any]:
        """Class probabilities for rows with their original columns, if the model has them.

        Raises:
            AttributeError: it has not.
        """
        if not hasattr(self.model, "predict_proba"):
            message = f"{type(self.model).__name__} has no predict_proba"
            raise AttributeError(message)
        self._ready()
        return self._probabilities

    def _probabilities(self, X: Any) -> Any:
        ready = self._ready()
        found = None if self._quick is None else self._quick.outputs(ready.pick(X))
        return ready.predict_proba(X) if found is None else found

    @property
    def report(self) -> Report:
        """Metric, size, latency and agreement before and after, on held-out rows.

        Raises:
            Conflict: nothing has been optimised yet.
        """
        return self._ready().report

    def _ready(self) -> Selected:
        if self._selected is None:
            raise Conflict(
                "The model has not been optimised.",
                hint="Call optimize_for_inference(X_train, y_train) first.",
                code="not_optimized",
            )
        return self._selected
