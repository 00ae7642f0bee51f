"""Performance without outcomes: estimated, always with an interval and the word."""

from trimtab.performance.estimated.calibration import Calibration, calibrate, isotonic
from trimtab.performance.estimated.comparer import WARNING, EstimatedComparer
from trimtab.performance.estimated.estimator import (
    Estimator,
    OwnError,
    Predicted,
    estimate,
    make_estimator,
)
from trimtab.performance.estimated.windows import EstimatedWindows

__all__ = [
    "WARNING",
    "Calibration",
    "EstimatedComparer",
    "EstimatedWindows",
    "Estimator",
    "OwnError",
    "Predicted",
    "calibrate",
    "estimate",
    "isotonic",
    "make_estimator",
]
