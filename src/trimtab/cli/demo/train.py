"""What a data scientist brings: trainers for the demo's three versions."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
from sklearn.pipeline import Pipeline

from trimtab.cli.demo import flights

THRESHOLD = 0.40
"""A missed late flight costs one and a half times a false warning: 1 / (1 + 1.5)."""

UNITS = {
    "sched_minute": "minute after midnight",
    "weekday": "day, Monday is 0",
    "distance": "mile",
    "seats": "seat",
    "plane_age": "year",
    "temp": "°F",
    "humid": "%",
    "wind_speed": "mph",
    "precip": "inch",
    "pressure": "hPa",
    "visib": "mile",
}


def fit(frame: pd.DataFrame) -> Pipeline:
    """Fit on rows with an outcome in ``late``."""
    known = frame[frame["late"].notna()]
    return flights.build_pipeline().fit(known[flights.FEATURES], known["late"].astype(int))


def train(table: pa.Table) -> Pipeline:
    """The trainer for ``trimtab retrain``: a table of features and ``outcome``."""
    return fit(table.to_pandas().rename(columns={"outcome": "late"}))


def with_humidity_as_fraction(frame: pd.DataFrame) -> pd.DataFrame:
    """The mistake of v3: its training data says humidity in 0 to 1, production still sends percent."""
    return frame.assign(humid=frame["humid"] / 100.0)
