"""Trimtab as a notebook uses it: a detector with its reference, and what it says of a pandas frame."""

import sys

import pandas as pd
from measure import measure, paths

from trimtab import DriftDetector

reference, current = map(pd.read_parquet, paths())
detector = DriftDetector(reference)
everything = "report" in sys.argv[3:]
measure(lambda: (detector.report if everything else detector.detect_drift)(current))
