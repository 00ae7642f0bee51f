"""Performance with outcomes: what was predicted against what became known later.

A prediction whose outcome is not known yet is counted as waiting, never as right or wrong.
"""

from trimtab.performance.comparer import METRICS, Metric, PerformanceComparer
from trimtab.performance.heldout import evaluate
from trimtab.performance.metrics import Estimate, delong, wilson
from trimtab.performance.windows import Counted, PerformanceWindows, measure

__all__ = [
    "METRICS",
    "Counted",
    "Estimate",
    "Metric",
    "PerformanceComparer",
    "PerformanceWindows",
    "delong",
    "evaluate",
    "measure",
    "wilson",
]
