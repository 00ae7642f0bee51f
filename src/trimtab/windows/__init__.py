"""journal -> window: folds predictions into windows of mergeable sketches, by event time."""

from trimtab.windows.batch import Batch
from trimtab.windows.clock import CONFIRM_RECORDS
from trimtab.windows.feature_windows import FeatureWindows
from trimtab.windows.judging import WindowJudge
from trimtab.windows.segment import Segment
from trimtab.windows.shared import SharedWindows
from trimtab.windows.summary import WindowSketch, merge_windows, told_of

__all__ = [
    "CONFIRM_RECORDS",
    "Batch",
    "FeatureWindows",
    "Segment",
    "SharedWindows",
    "WindowJudge",
    "WindowSketch",
    "merge_windows",
    "told_of",
]
