"""The in-process classes: the same rooms as the server, no server needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab import plugins
from trimtab.library.deployment import ModelDeployment
from trimtab.library.detector import DriftDetector
from trimtab.library.feature_pipeline import ProductionFeaturePipeline
from trimtab.library.production import ProductionModel

if TYPE_CHECKING:
    from trimtab.library.feature_views import FeatureViews
    from trimtab.library.optimized import OptimizedModel

__all__ = [
    "DriftDetector",
    "FeatureViews",
    "ModelDeployment",
    "OptimizedModel",
    "ProductionFeaturePipeline",
    "ProductionModel",
]


_LATE = {
    "FeatureViews": "trimtab.library.feature_views:FeatureViews",
    "OptimizedModel": "trimtab.library.optimized:OptimizedModel",
}


def __getattr__(name: str) -> object:
    """Optimisation needs scikit-learn, an extra, and views a state; the other classes wait for neither."""
    if name in _LATE:
        return plugins.by_path(_LATE[name])
    message = f"module 'trimtab.library' has no attribute {name!r}"
    raise AttributeError(message)
