"""Trimtab, from a pandas frame to the verdict, against a stored reference profile."""

import pandas as pd
from measure import measure, paths

from trimtab.config import WatchConfig
from trimtab.drift import DATA_DRIFT, FeatureComparer
from trimtab.drift.frames import profile_of_frame, sketch_frame
from trimtab.judge import DriftJudge
from trimtab.types import Window

reference, current = map(pd.read_parquet, paths())
profile = profile_of_frame(reference)


def run() -> object:
    """One comparison with a stored reference profile."""
    content = sketch_frame(profile, current)
    window = Window(
        subject=DATA_DRIFT, model="", version=0, start=0.0, end=0.0, rows=content.rows,
        content=content,
    )  # fmt: skip
    comparer = FeatureComparer(profile)
    return DriftJudge(DATA_DRIFT, WatchConfig()).judge(window, comparer.compare(window))


measure(run)
