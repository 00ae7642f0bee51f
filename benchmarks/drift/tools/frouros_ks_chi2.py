"""Frouros: KSTest on numbers, ChiSquareTest on text."""

import pandas as pd
from frouros.detectors.data_drift import ChiSquareTest, KSTest
from measure import measure, paths

reference, current = map(pd.read_parquet, paths())


def run() -> object:
    """A detector a column."""
    found = []
    for name in reference.columns:
        detector = KSTest() if name.startswith("x") else ChiSquareTest()
        detector.fit(X=reference[name].to_numpy())
        found.append(detector.compare(X=current[name].to_numpy())[0])
    return found


measure(run)
