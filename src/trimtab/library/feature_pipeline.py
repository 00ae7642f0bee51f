"""Features of a user within a deadline, whatever the store does."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from trimtab.config import FeaturesConfig
from trimtab.errors import InvalidInput
from trimtab.features.pipeline import FeatureAnswer, FeaturePipeline
from trimtab.telemetry import Metrics, shared_metrics
from trimtab.wiring.clock import SystemClock


class ProductionFeaturePipeline:
    """Realtime features, else batch features, else fallback values, feature by feature.

    None, NaN and absent all mean that a source does not have the feature. A source that raises,
    hangs or ignores its time-out counts as one that has nothing; thread-safe.

    Args:
        feature_store: Has ``get_realtime_features(user_id, timeout)``, in milliseconds, and
            ``get_batch_features(user_id)``. Both answer a mapping, directly or awaitably.
        fallback_values: What to answer for the features that no source has.
        metrics: Where to count; the library's own on the default registry if None.

    Example:
        >>> class Store:
        ...     def get_realtime_features(self, user_id, timeout):
        ...         raise ConnectionError
        ...
        ...     def get_batch_features(self, user_id):
        ...         return {"spent": 12.5, "visits": None}
        >>> pipeline = ProductionFeaturePipeline(Store(), fallback_values={"visits": 0})
        >>> pipeline.get_features("user-1", timeout=1_000)
        {'visits': 0, 'spent': 12.5}
    """

    def __init__(
        self,
        feature_store: object,
        fallback_values: Mapping[str, Any] | None = None,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        _check_store(feature_store)
        self._pipeline = FeaturePipeline(
            feature_store,
            fallback_values,
            shared_metrics() if metrics is None else metrics,
            SystemClock(),
            FeaturesConfig(),
        )

    def get_features(self, user_id: object, timeout: float = 100) -> dict[str, Any]:
        """The features of a user.

        Args:
            user_id: As the store knows the user.
            timeout: The most that this may take, in milliseconds.

        Raises:
            InvalidRow: a feature that is known by name is nowhere to be had.
            Unavailable: no source answered, and no fallback names a feature.
        """
        return self.get_features_with_provenance(user_id, timeout).values

    def get_features_with_provenance(self, user_id: object, timeout: float = 100) -> FeatureAnswer:
        """The features of a user, and where each came from: realtime, batch or default."""
        if not (isfinite(timeout) and timeout > 0):
            raise InvalidInput(
                f"A timeout of {timeout!r} ms cannot be kept.",
                hint="Pass a positive number of milliseconds.",
                code="invalid_timeout",
                path="timeout",
            )
        return self._pipeline.get(user_id, timeout)

    def close(self) -> None:
        """Let the threads end; idempotent."""
        self._pipeline.close()


def _check_store(store: object) -> None:
    for method in ("get_realtime_features", "get_batch_features"):
        if not callable(getattr(store, method, None)):
            raise InvalidInput(
                f"The feature store {type(store).__name__} has no method {method!r}.",
                hint="It needs get_realtime_features(user_id, timeout) and "
                "get_batch_features(user_id).",
                code="invalid_store",
                path="feature_store",
            )
