"""Performance: with outcomes, what was predicted against what became known; without, an estimate.

A prediction whose outcome is not known yet is counted as waiting, never as right or wrong. What was
estimated says so, and has an interval.
"""

from trimtab.performance.comparer import METRICS, Metric, PerformanceComparer
from trimtab.performance.concept import ConceptComparer, ConceptJudge, Excess
from trimtab.performance.estimated import EstimatedComparer, EstimatedWindows, Estimator
from trimtab.performance.heldout import HeldOut, evaluate
from trimtab.performance.judging import EstimatedJudge, RevisingJudge
from trimtab.performance.metrics import Estimate, delong, wilson
from trimtab.performance.promise import Promise, make_promise
from trimtab.performance.segments import SegmentSpec, segment_spec
from trimtab.performance.tally import Counted, measure
from trimtab.performance.windows import PerformanceWindows

__all__ = [
    "METRICS",
    "ConceptComparer",
    "ConceptJudge",
    "Counted",
    "Estimate",
    "EstimatedComparer",
    "EstimatedJudge",
    "EstimatedWindows",
    "Estimator",
    "Excess",
    "HeldOut",
    "Metric",
    "PerformanceComparer",
    "PerformanceWindows",
    "Promise",
    "RevisingJudge",
    "SegmentSpec",
    "delong",
    "evaluate",
    "make_promise",
    "measure",
    "segment_spec",
    "wilson",
]
