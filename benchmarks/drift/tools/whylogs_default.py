"""whylogs: a profile of either side, and its drift scores."""

import warnings

import pandas as pd
import whylogs
from measure import measure, paths
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

warnings.simplefilter("ignore")
reference, current = map(pd.read_parquet, paths())


def run() -> object:
    """Log both, compare."""
    old, new = whylogs.log(reference).view(), whylogs.log(current).view()
    return calculate_drift_scores(new, old, with_thresholds=True)


measure(run)
