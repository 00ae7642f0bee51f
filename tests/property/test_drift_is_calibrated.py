"""Law 6: false alarms at the stated rate at every window size, and power where it matters.

Thirty features: normal, lognormal, uniform, bimodal, counts, and five categorical ones of 3 to 50
levels. The reference has 10,000 rows and is drawn anew for every few windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pytest
import scipy.stats

from trimtab.config import WatchConfig
from trimtab.drift import FeatureComparer, ReferenceProfile, build_profile, window_of
from trimtab.judge import LEVEL, DriftJudge
from trimtab.types import Columns, FeatureKind, FeatureSpec, Verdict

Draw = Callable[[np.random.Generator, int], np.ndarray]
Change = Callable[[np.random.Generator, np.ndarray], np.ndarray]
Table = dict[str, np.ndarray]


def bimodal(rng: np.random.Generator, rows: int) -> np.ndarray:
    return np.where(rng.random(rows) < 0.5, -2.0, 2.0) + rng.normal(0, 0.5, rows)


def levels(count: int) -> Draw:
    share = 1 / np.arange(1, count + 1)
    names = np.array([f"level {number}" for number in range(count)], dtype=object)
    return lambda rng, rows: names[rng.choice(count, rows, p=share / share.sum())]


NUMERIC: Mapping[str, Draw] = {
    "normal": lambda rng, rows: rng.normal(size=rows),
    "lognormal": lambda rng, rows: rng.lognormal(size=rows),
    "uniform": lambda rng, rows: rng.uniform(size=rows),
    "bimodal": bimodal,
    "count": lambda rng, rows: rng.poisson(4, rows).astype(np.float64),
}
FEATURES: Mapping[str, Draw] = {
    f"{name} {copy}": draw for name, draw in NUMERIC.items() for copy in range(5)
} | {f"category {count}": levels(count) for count in (3, 5, 8, 20, 50)}


def draw(rng: np.random.Generator, rows: int) -> Table:
    return {name: make(rng, rows) for name, make in FEATURES.items()}


def columns(table: Table) -> Columns:
    specs = tuple(
        FeatureSpec(
            name=name,
            kind=FeatureKind.CATEGORICAL if a.dtype == object else FeatureKind.NUMERIC,
        )
        for name, a in table.items()
    )
    return Columns(features=specs, arrays=tuple(table.values()))


@cache
def profile(seed: int) -> ReferenceProfile:
    return build_profile(columns(draw(np.random.default_rng(seed), 10_000)))


def judged(reference: ReferenceProfile, table: Table, judge: DriftJudge | None = None) -> Verdict:
    window = window_of(reference, columns(table))
    judge = judge or DriftJudge("data_drift", WatchConfig())
    return judge.judge(window, FeatureComparer(reference).compare(window))


@pytest.mark.parametrize(("rows", "windows"), [(200, 200), (1_000, 150), (10_000, 40)])
def test_false_alarms_of_the_whole_data_set_stay_at_the_stated_level(
    rows: int, windows: int
) -> None:
    rng = np.random.default_rng(rows)
    alarms = sum(
        bool(judged(profile(1_000 + number % 20), draw(rng, rows)).flagged)
        for number in range(windows)
    )
    # The reference is shared by several windows: a tenth more spread than the binomial's.
    assert alarms <= scipy.stats.binom.ppf(0.99, windows, 1.1 * LEVEL)


def test_repeated_windows_raise_hardly_any_alarm() -> None:
    rng = np.random.default_rng(17)
    alarms = 0
    for reference in range(4):
        judge = DriftJudge("data_drift", WatchConfig())
        verdicts = [judged(profile(1_000 + reference), draw(rng, 300), judge) for _ in range(40)]
        alarms += sum(v.alarmed for v in verdicts)
    # Stated: one in 1,000 windows; here 160.
    assert alarms <= scipy.stats.binom.ppf(0.99, 160, 0.001)


def shifted(by: float) -> Change:
    return lambda _, values: values + by * values.std()


def widened(by: float) -> Change:
    return lambda _, values: values.mean() + by * (values - values.mean())


def lost(share: float) -> Change:
    return lambda rng, values: np.where(rng.random(len(values)) < share, np.nan, values)


def renamed(share: float) -> Change:
    return lambda rng, values: np.where(rng.random(len(values)) < share, "zz", values)


CONTINUOUS = ("normal 0", "lognormal 0", "uniform 0", "bimodal 0", "normal 1")
CATEGORIES = tuple(name for name in FEATURES if name.startswith("category"))


@pytest.mark.parametrize(
    ("change", "names", "power"),
    [
        (shifted(0.25), CONTINUOUS, 1.0),
        (widened(1.25), CONTINUOUS, 0.99),
        (lost(0.05), CONTINUOUS, 1.0),
        (renamed(0.02), CATEGORIES, 1.0),
        (shifted(0.1), CONTINUOUS, 0.6),
    ],
    ids=["mean .25 sd", "sd x 1.25", "missing +5 points", "new category 2 %", "mean .1 sd"],
)
def test_power_for_each_of_five_features_at_1000_rows(
    change: Change, names: tuple[str, ...], power: float
) -> None:
    rng = np.random.default_rng(23)
    found = []
    for number in range(20):
        table = draw(rng, 1_000)
        table |= {name: change(rng, table[name]) for name in names}
        flagged = judged(profile(1_000 + number), table).flagged
        found += [name in flagged for name in names]
    assert np.mean(found) >= power


def test_power_for_a_change_in_one_correlation_alone() -> None:
    rng = np.random.default_rng(29)
    found = []
    for number in range(20):
        table = draw(rng, 1_000)
        table["normal 1"] = 0.5 * table["normal 0"] + np.sqrt(0.75) * table["normal 1"]
        found.append(judged(profile(1_000 + number), table).flagged)
    assert all("correlation" in flagged for flagged in found)


def days(rng: np.random.Generator, count: int, rows: int) -> tuple[Columns, np.ndarray]:
    """Traffic whose days differ: a level of its own each, for a number, a category, a missing rate."""
    day = np.repeat(np.arange(count), rows)
    level = rng.normal(0, 0.3, count)[day]
    share = (0.3 * np.exp(rng.normal(0, 0.2, count)))[day]
    rate = (0.1 * np.exp(rng.normal(0, 0.3, count)))[day]
    x = rng.normal(size=len(day)) + level
    c = np.where(rng.random(len(day)) < share, "a", "b").astype(object)
    m = np.where(rng.random(len(day)) < rate, np.nan, rng.normal(size=len(day)))
    return columns({"x": x, "c": c, "m": m}), day * 86_400.0


def test_days_that_always_differ_are_no_drift_once_the_noise_is_calibrated_on_them() -> None:
    rng = np.random.default_rng(31)
    reference, times = days(rng, 40, 800)
    plain, calibrated = build_profile(reference), build_profile(reference, times=times)
    flagged = {"plain": 0, "calibrated": 0}
    alarms = 0
    judge = DriftJudge("data_drift", WatchConfig())
    for _ in range(80):
        table, _ = days(rng, 1, 800)
        current = dict(zip("xcm", table.arrays, strict=True))
        flagged["plain"] += bool(judged(plain, current).flagged)
        found = judged(calibrated, current, judge)
        flagged["calibrated"] += bool(found.flagged)
        alarms += found.alarmed
    assert flagged["plain"] > 60
    assert flagged["calibrated"] <= scipy.stats.binom.ppf(0.99, 80, LEVEL)
    assert 0 == alarms


def test_a_real_shift_is_found_among_days_that_differ() -> None:
    rng = np.random.default_rng(37)
    reference, times = days(rng, 40, 800)
    calibrated = build_profile(reference, times=times)
    judge = DriftJudge("data_drift", WatchConfig())
    verdicts = []
    for _ in range(12):
        table, _ = days(rng, 1, 800)
        x, c, m = table.arrays
        verdicts.append(judged(calibrated, {"x": x + 1.5, "c": c, "m": m}, judge))
    assert sum("x" in found.flagged for found in verdicts) >= 11
    assert verdicts[-1].alarmed


HOUR, HOURS_A_WEEK, ROWS_AN_HOUR = 3_600.0, 168, 80
MONDAY, WEDNESDAY = (7, 8, 9), (55, 56, 57)


def hours(
    rng: np.random.Generator, week: int, weeks: int, rush: tuple[int, ...]
) -> list[tuple[float, Table]]:
    """Traffic whose hours remember each other, and of another kind in some hours of the week."""
    found, level = [], 0.0
    for hour in range(week * HOURS_A_WEEK, (week + weeks) * HOURS_A_WEEK):
        level = 0.7 * level + rng.normal(0, 0.15)
        rushing = hour % HOURS_A_WEEK in rush
        x = rng.normal(level + 2.0 * rushing, 1, ROWS_AN_HOUR)
        c = np.where(rng.random(ROWS_AN_HOUR) < 0.2 + 0.5 * rushing, "app", "web").astype(object)
        found.append((hour * HOUR, {"x": x, "c": c, "q": rng.normal(size=ROWS_AN_HOUR)}))
    return found


def test_monday_morning_is_no_drift_and_the_same_on_wednesday_is() -> None:
    rng = np.random.default_rng(41)
    known = hours(rng, 0, 5, MONDAY)
    calibrated = build_profile(
        columns({name: np.concatenate([table[name] for _, table in known]) for name in "xcq"}),
        times=np.repeat([begin for begin, _ in known], ROWS_AN_HOUR),
        block_seconds=HOUR,
    )
    judge = DriftJudge("data_drift", WatchConfig(min_rows=ROWS_AN_HOUR))
    comparer = FeatureComparer(calibrated)

    def verdicts(live: list[tuple[float, Table]]) -> list[Verdict]:
        windows = [
            window_of(calibrated, columns(table), start=begin, end=begin + HOUR)
            for begin, table in live
        ]
        return [judge.judge(window, comparer.compare(window)) for window in windows]

    quiet = verdicts(hours(rng, 5, 2, MONDAY))
    flagged = sum(bool(verdict.flagged) for verdict in quiet)
    assert flagged <= scipy.stats.binom.ppf(0.99, len(quiet), LEVEL)
    assert not any(verdict.alarmed for verdict in quiet)
    other = verdicts(hours(rng, 7, 1, MONDAY + WEDNESDAY))
    assert WEDNESDAY == tuple(at for at, verdict in enumerate(other) if len(verdict.flagged) > 1)
    assert WEDNESDAY[0] == next(at for at, verdict in enumerate(other) if verdict.alarmed)
