"""Trimtab takes trained tabular models into production and keeps them in trim."""

from __future__ import annotations

from importlib import import_module

# What typing.TYPE_CHECKING is to type checkers, without `typing`, which takes 10 ms to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from trimtab.errors import TrimtabError
    from trimtab.library import (
        DriftDetector,
        FeatureViews,
        ModelDeployment,
        OptimizedModel,
        ProductionFeaturePipeline,
        ProductionModel,
    )

__version__ = "0.1.0"

_HOMES = {
    "DriftDetector": "trimtab.library",
    "FeatureViews": "trimtab.library",
    "ModelDeployment": "trimtab.library",
    "OptimizedModel": "trimtab.library",
    "ProductionFeaturePipeline": "trimtab.library",
    "ProductionModel": "trimtab.library",
    "TrimtabError": "trimtab.errors",
}

__all__ = [
    "DriftDetector",
    "FeatureViews",
    "ModelDeployment",
    "OptimizedModel",
    "ProductionFeaturePipeline",
    "ProductionModel",
    "TrimtabError",
    "__version__",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        message = f"module 'trimtab' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
