"""popmon: histograms of both sides, and its metrics against the external reference."""

import warnings

import pandas as pd
import popmon
from measure import measure, paths

warnings.simplefilter("ignore")
reference, current = map(pd.read_parquet, paths())
for frame in (reference, current):
    for name in frame.columns:
        if name.startswith("s"):
            frame[name] = frame[name].astype(object)
day = pd.Timestamp("2026-01-01")
reference.insert(0, "date", day)
current.insert(0, "date", day + pd.Timedelta(days=1))


def run() -> object:
    """Report data, without its page."""
    return popmon.df_stability_report(
        current, time_axis="date", time_width="1d", reference_type="external", reference=reference
    ).datastore


measure(run)
