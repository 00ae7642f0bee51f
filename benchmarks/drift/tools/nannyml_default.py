"""NannyML's UnivariateDriftCalculator as it comes: fit on the reference, calculate on the current rows."""

import os

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
import warnings

import nannyml
import pandas as pd
from measure import measure, paths

warnings.simplefilter("ignore")
reference, current = map(pd.read_parquet, paths())


def run() -> object:
    """Fit and calculate."""
    calculator = nannyml.UnivariateDriftCalculator(column_names=list(reference.columns))
    return calculator.fit(reference).calculate(current)


measure(run)
