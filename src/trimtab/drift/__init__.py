"""Reference profiles, comparison with them, and one file a drift statistic."""

from trimtab.drift.comparison import (
    DATA_DRIFT,
    PREDICTION_DRIFT,
    FeatureComparer,
    ScoreComparer,
    compare_feature,
    window_of,
)
from trimtab.drift.profile import STATISTICS, FeatureProfile, ReferenceProfile, build_profile

__all__ = [
    "DATA_DRIFT",
    "PREDICTION_DRIFT",
    "STATISTICS",
    "FeatureComparer",
    "FeatureProfile",
    "ReferenceProfile",
    "ScoreComparer",
    "build_profile",
    "compare_feature",
    "window_of",
]
