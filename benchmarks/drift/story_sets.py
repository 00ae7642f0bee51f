"""Real data sets as streams: rows in time order, with when their outcome became known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

DAY = 86_400.0
FLIGHTS_STEP, FRAUD_STEP = 4, 5


@dataclass(frozen=True)
class Stream:
    """One data set.

    ``frame`` has the ``features`` and ``outcome``, ``time`` (Unix seconds), ``known`` (when the outcome
    became so) and ``group`` (the month, week or tenth that people speak of). Rows before ``holdout`` train
    the model, those before ``start`` are held out, the others are the stream.
    """

    name: str
    frame: pd.DataFrame
    features: list[str]
    holdout: float
    start: float
    window_seconds: float
    delay_seconds: float
    unit: str
    note: str


def flights(folder: Path) -> Stream:  # noqa: ARG001 - the package carries its data
    from trimtab.cli.demo import flights as source

    frame = source.load().dropna(subset=["late"]).iloc[::FLIGHTS_STEP].reset_index(drop=True)
    local = pd.to_datetime(frame["event_time"], unit="s", utc=True).dt.tz_convert(source.NEW_YORK)
    frame = frame.rename(columns={"late": "outcome", "event_time": "time", "outcome_time": "known"})
    frame["group"] = local.dt.strftime("%b").to_numpy()
    months = frame["month"].to_numpy()
    return Stream(
        name="flights",
        frame=frame,
        features=source.FEATURES,
        holdout=float(frame["time"][months == 3].min()),
        start=float(frame["time"][months == 4].min()),
        window_seconds=DAY,
        delay_seconds=2 * DAY,
        unit="month",
        note="late at least 15 minutes; every fourth flight; trained on January and February, held out March",
    )


def fraud(folder: Path) -> Stream:
    frame = (
        pd.read_parquet(folder / "fraud_transactions.parquet")
        .iloc[::FRAUD_STEP]
        .reset_index(drop=True)
    )
    frame["time"] = frame["ts"].astype("datetime64[s]").astype("int64").astype(float)
    frame["known"] = frame["time"] + 7 * DAY
    begin = pd.Timestamp("2018-05-21").timestamp()
    week = ((frame["time"] - begin) // (7 * DAY)).astype(int)
    frame["group"] = "week " + (week + 1).astype(str)
    frame["outcome"] = frame["tx_fraud"].astype(float)
    left_out = ("terminal_id_risk", "terminal_id_nb", "customer_id_nb", "customer_id_avg")
    features = ["tx_amount", "tx_during_weekend", "tx_during_night"]
    features += [name for name in frame.columns if name.startswith(left_out)]
    frame[features] = frame[features].astype(float)
    kept = frame["time"] >= pd.Timestamp("2018-04-20").timestamp()
    return Stream(
        name="fraud",
        frame=frame[kept].reset_index(drop=True),
        features=features,
        holdout=pd.Timestamp("2018-05-11").timestamp(),
        start=begin,
        window_seconds=DAY,
        delay_seconds=9 * DAY,
        unit="week",
        note="simulated and stationary: the control; every fifth row; trained on three weeks, "
        "held out ten days",
    )


def bank(folder: Path) -> Stream:
    frame = pd.read_parquet(folder / "bank_marketing.parquet")
    rows = np.arange(len(frame))
    frame["time"] = rows * 60.0
    frame["known"] = frame["time"] + 200 * 60.0
    frame["group"] = np.array([f"tenth {1 + n * 10 // len(frame)}" for n in rows], dtype=object)
    frame["outcome"] = frame["y"].astype(float)
    # `duration` is known only after the call, as the outcome is.
    features = [
        n for n in frame.columns if n not in {"y", "duration", "time", "known", "group", "outcome"}
    ]
    return Stream(
        name="bank",
        frame=frame,
        features=features,
        holdout=float(len(frame) * 2 // 10 * 60),
        start=float(len(frame) * 3 // 10 * 60),
        window_seconds=500 * 60.0,
        delay_seconds=400 * 60.0,
        unit="tenth",
        note="row order stands for time; trained on the first two tenths, held out the third",
    )


def shop(folder: Path) -> Stream:
    frame = pd.read_parquet(folder / "online_shoppers.parquet")
    months = ["Feb", "Mar", "May", "June", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    order = frame["Month"].map({name: at for at, name in enumerate(months)}).to_numpy()
    frame = frame.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)
    order = np.sort(order)
    sizes = np.bincount(order)
    within = np.arange(len(frame)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    frame["time"] = (order + within / sizes[order]) * 30 * DAY
    frame["known"] = frame["time"] + DAY
    frame["group"] = frame["Month"].to_numpy()
    frame["outcome"] = frame["Revenue"].astype(float)
    frame["Weekend"] = frame["Weekend"].astype(float)
    features = [n for n in frame.columns
                if n not in {"Month", "Revenue", "time", "known", "group", "outcome"}]  # fmt: skip
    return Stream(
        name="shop",
        frame=frame,
        features=features,
        holdout=1.5 * 30 * DAY,
        start=2 * 30 * DAY,
        window_seconds=10 * DAY,
        delay_seconds=2 * DAY,
        unit="month",
        note="only the month is known, rows within it stand in file order; trained on February and half "
        "of March, held out the other half",
    )


SETS: dict[str, Callable[[Path], Stream]] = {
    "flights": flights,
    "fraud": fraud,
    "bank": bank,
    "shop": shop,
}
