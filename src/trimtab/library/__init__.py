"""The in-process classes: the same rooms as the server, no server needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trimtab import plugins

if TYPE_CHECKING:
    from trimtab.library.deployment import ModelDeployment
    from trimtab.library.detector import DriftDetector
    from trimtab.library.feature_pipeline import ProductionFeaturePipeline
    from trimtab.library.feature_views import FeatureViews
    from trimtab.library.optimized import OptimizedModel
    from trimtab.library.production import ProductionModel

__all__ = [
    "DriftDetector",
    "FeatureViews",
    "ModelDeployment",
    "OptimizedModel",
    "ProductionFeaturePipeline",
    "ProductionModel",
]


_HOMES = {
    "DriftDetector": "trimtab.library.detector",
    "FeatureViews": "trimtab.library.feature_views",
    "ModelDeployment": "trimtab.library.deployment",
    "OptimizedModel": "trimtab.library.optimized",
    "ProductionFeaturePipeline": "trimtab.library.feature_pipeline",
    "ProductionModel": "trimtab.library.production",
}


def __getattr__(name: str) -> object:
    """Each class is loaded when it is asked for: none waits for what only another one needs."""
    if name in _HOMES:
        return plugins.by_path(f"{_HOMES[name]}:{name}")
    message = f"module 'trimtab.library' has no attribute {name!r}"
    raise AttributeError(message)
