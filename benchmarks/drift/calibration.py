"""False alarms, power and traps of the verdict, as one table: what docs/calibration.md shows.

Thirty features (five each: normal, lognormal, uniform, bimodal, count; categories of 3, 5, 8, 20 and 50
levels, Zipf), a reference of 10,000 rows drawn anew for every replicate. Options: ``replicates=400``,
``references=12``, ``windows=500``, ``traps=40``,
``seed=1``, ``parts=single,repeated,traps``, and ``write=PATH`` to put the table between the marks of
a page.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import scipy.stats

from trimtab.config import WatchConfig
from trimtab.drift import FeatureComparer, ReferenceProfile, build_profile, window_of
from trimtab.judge import LEVEL, DriftJudge
from trimtab.types import Columns, FeatureKind, FeatureSpec, Verdict

REFERENCE_ROWS = 10_000
WINDOWS = (200, 1_000, 10_000)
COPIES = 5
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

Rng = np.random.Generator
Table = dict[str, np.ndarray]


def bimodal(rng: Rng, rows: int) -> np.ndarray:
    return np.where(rng.random(rows) < 0.5, -2.0, 2.0) + rng.normal(0, 0.5, rows)


def levels(count: int) -> Callable[[Rng, int], np.ndarray]:
    share = 1 / np.arange(1, count + 1)
    names = np.array([f"level {number}" for number in range(count)], dtype=object)
    return lambda rng, rows: names[rng.choice(count, rows, p=share / share.sum())]


NUMERIC: Mapping[str, Callable[[Rng, int], np.ndarray]] = {
    "normal": lambda rng, rows: rng.normal(size=rows),
    "lognormal": lambda rng, rows: rng.lognormal(size=rows),
    "uniform": lambda rng, rows: rng.uniform(size=rows),
    "bimodal": bimodal,
    "count": lambda rng, rows: rng.poisson(4, rows).astype(np.float64),
}
FEATURES = {f"{name} {copy}": draw for name, draw in NUMERIC.items() for copy in range(COPIES)} | {
    f"category {count}": levels(count) for count in (3, 5, 8, 20, 50)
}
SHIFTED = ("normal 0", "lognormal 0", "uniform 0", "bimodal 0", "normal 1")
CATEGORIES = tuple(name for name in FEATURES if name.startswith("category"))


def draw(rng: Rng, rows: int) -> Table:
    return {name: make(rng, rows) for name, make in FEATURES.items()}


def columns(table: Table) -> Columns:
    specs = tuple(
        FeatureSpec(
            name=name, kind=FeatureKind.CATEGORICAL if a.dtype == object else FeatureKind.NUMERIC
        )
        for name, a in table.items()
    )
    return Columns(features=specs, arrays=tuple(table.values()))


def judged(profile: ReferenceProfile, table: Table, judge: DriftJudge | None = None) -> Verdict:
    window = window_of(profile, columns(table))
    judge = judge or DriftJudge("data_drift", WatchConfig())
    return judge.judge(window, FeatureComparer(profile).compare(window))


# ---------------------------------------------------------------------------- what is changed


def shifted(by: float) -> Callable[[Rng, np.ndarray], np.ndarray]:
    return lambda _, values: values + by * values.std()


def widened(by: float) -> Callable[[Rng, np.ndarray], np.ndarray]:
    return lambda _, values: values.mean() + by * (values - values.mean())


def lost(share: float) -> Callable[[Rng, np.ndarray], np.ndarray]:
    return lambda rng, values: np.where(rng.random(len(values)) < share, np.nan, values)


def renamed(share: float) -> Callable[[Rng, np.ndarray], np.ndarray]:
    return lambda rng, values: np.where(rng.random(len(values)) < share, "zz", values)


CHANGES = {
    "mean + 0.1 sd": (shifted(0.1), SHIFTED, 0.70),
    "mean + 0.25 sd": (shifted(0.25), SHIFTED, 1.0),
    "sd × 1.25": (widened(1.25), SHIFTED, 0.99),
    "missing + 5 points": (lost(0.05), SHIFTED, 1.0),
    "new category, 2 % of rows": (renamed(0.02), CATEGORIES, 1.0),
}


def correlated(table: Table) -> Table:
    half = 0.5 * table["normal 0"] + np.sqrt(0.75) * table["normal 1"]
    return table | {"normal 1": half}


# ---------------------------------------------------------------------------- the parts


def replicates(count: int, seed: int) -> list[tuple[str, str, str, str]]:
    """False alarms of single windows, and power, with a reference of its own for each replicate."""
    rng = np.random.default_rng(seed)
    alarms: Counter[int] = Counter()
    found: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for _ in range(count):
        profile = build_profile(columns(draw(rng, REFERENCE_ROWS)))
        for rows in WINDOWS:
            alarms[rows] += bool(judged(profile, draw(rng, rows)).flagged)
        for name, (change, features, _) in CHANGES.items():
            table = draw(rng, 1_000)
            flagged = judged(
                profile, table | {at: change(rng, table[at]) for at in features}
            ).flagged
            found[name] += sum(feature in flagged for feature in features)
            asked[name] += len(features)
        found["pair"] += "correlation" in judged(profile, correlated(draw(rng, 1_000))).flagged
        asked["pair"] += 1
    low, high = scipy.stats.binom.interval(0.99, count, LEVEL)
    lines = [
        (
            f"no drift, one window of {rows:,} rows",
            f"{alarms[rows]} of {count} windows ({alarms[rows] / count:.1%})",
            f"at most {LEVEL:.0%}; 99 % band {low:.0f}–{high:.0f}",
            mark(alarms[rows] <= high),
        )
        for rows in WINDOWS
    ]
    for name, (_, _, wanted) in CHANGES.items():
        share = found[name] / asked[name]
        lines.append(
            (
                f"{name}, 5 of 30 features, 1,000 rows",
                f"{share:.2%} of {asked[name]:,} features",
                f"≥ {wanted:.0%}",
                mark(round(share, 4) >= wanted),
            )
        )
    share = found["pair"] / asked["pair"]
    lines.append(
        (
            "correlation of one pair 0 → 0.5, nothing else, 1,000 rows",
            f"{share:.2%} of {asked['pair']:,} windows",
            "100%",
            mark(share == 1),
        )
    )
    return lines


def repeated(references: int, windows: int, seed: int) -> list[tuple[str, str, str, str]]:
    """Alarms to people over one deployment's windows, without drift: one fixed reference each."""
    rng = np.random.default_rng(seed)
    alarms = excursions = 0
    for _ in range(references):
        profile = build_profile(columns(draw(rng, REFERENCE_ROWS)))
        judge = DriftJudge("data_drift", WatchConfig())
        before = False
        for _ in range(windows):
            verdict = judged(profile, draw(rng, 1_000), judge)
            alarms += verdict.alarmed and not before
            excursions += bool(verdict.flagged)
            before = verdict.alarmed
    total = references * windows
    most = scipy.stats.binom.ppf(0.99, total, 0.001)
    return [
        (
            f"no drift, {references} references × {windows} windows of 1,000 rows: alarms",
            f"{alarms} in {total:,} windows",
            f"at most 1 in 1,000; 99 % band up to {most:.0f}",
            mark(alarms <= most),
        ),
        (
            "the same: windows with a flagged feature (gauge, no alarm)",
            f"{excursions} ({excursions / total:.1%})",
            f"at most {LEVEL:.0%} on average over references",
            "",
        ),
    ]


def traps(count: int, seed: int) -> list[tuple[str, str, str, str]]:
    """Situations in which defaults elsewhere go wrong."""
    rng = np.random.default_rng(seed)
    tiny = doubled = doubled_out_ref = doubled_out_cur = outlier = empty = constant = 0
    for _ in range(count):
        base = draw(rng, REFERENCE_ROWS)
        amounts = rng.lognormal(3, 1, REFERENCE_ROWS)
        with_one = np.append(amounts, 1e6)
        plain = profile_of({"amount": amounts, "flat": np.zeros(REFERENCE_ROWS)} | base)
        marred = profile_of({"amount": with_one})
        now = draw(rng, 1_000) | {"flat": np.zeros(1_000)}
        amount = rng.lognormal(3, 1, 1_000)
        twice = {"amount": 2 * amount}
        doubled += "amount" in judged(plain, order(plain, now | twice)).flagged
        doubled_out_ref += "amount" in judged(marred, twice).flagged
        doubled_out_cur += (
            "amount"
            in judged(plain, order(plain, now | {"amount": np.append(2 * amount[1:], 1e6)})).flagged
        )
        outlier += (
            "amount"
            in judged(plain, order(plain, now | {"amount": np.append(amount[1:], 1e6)})).flagged
        )
        gone = judged(plain, order(plain, now | {"amount": np.full(1_000, np.nan)}))
        scored = {c.name: c.score for c in gone.comparisons}
        empty += scored["amount"] > 0.99 and len(scored) >= len(plain.features)
        varies = np.where(rng.random(1_000) < 0.05, 1.0, 0.0)
        constant += (
            "flat" in judged(plain, order(plain, now | {"amount": amount, "flat": varies})).flagged
        )
    profile = profile_of(draw(rng, 100_000))
    runs = max(4, count // 10)
    for _ in range(runs):
        many = draw(rng, 1_000_000)
        many |= {name: shifted(0.01)(rng, many[name]) for name in SHIFTED}
        tiny += bool(judged(profile, many).flagged)
    return [
        (
            "mean + 0.01 sd in 5 features, 1,000,000 rows",
            f"{tiny} of {runs}",
            "never",
            mark(not tiny),
        ),
        line("lognormal amount doubled", doubled, count),
        line("the same with one 10⁶ in the reference", doubled_out_ref, count),
        line("the same with one 10⁶ in the window", doubled_out_cur, count),
        (
            "one 10⁶ in the window, no drift",
            f"flagged {outlier} of {count}",
            f"at most {LEVEL:.0%}",
            mark(outlier <= scipy.stats.binom.ppf(0.99, count, LEVEL)),
        ),
        line("a column all missing: scored, and all others too", empty, count),
        line("constant in the reference, 5 % of rows differ", constant, count),
    ]


def profile_of(table: Table) -> ReferenceProfile:
    rows = max(len(values) for values in table.values())
    return build_profile(columns({n: np.resize(values, rows) for n, values in table.items()}))


def order(profile: ReferenceProfile, table: Table) -> Table:
    return {feature.feature.name: table[feature.feature.name] for feature in profile.features}


def line(what: str, found: int, count: int) -> tuple[str, str, str, str]:
    return (what, f"found {found} of {count}", "always", mark(found == count))


def mark(holds: bool) -> str:
    return "yes" if holds else "**no**"


def run(options: Mapping[str, str]) -> None:
    """Print the table, or write it into a page."""
    seed = int(options.get("seed", 1))
    parts = {
        "single": lambda: replicates(int(options.get("replicates", 400)), seed),
        "repeated": lambda: repeated(
            int(options.get("references", 12)), int(options.get("windows", 500)), seed + 1
        ),
        "traps": lambda: traps(int(options.get("traps", 40)), seed + 2),
    }
    lines = []
    for name in options.get("parts", ",".join(parts)).split(","):
        began = time.perf_counter()
        lines += parts[name]()
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    table = "\n".join(
        ["| what | measured | stated | holds |", "|---|---|---|---|"]
        + ["| " + " | ".join(cells) + " |" for cells in lines]
    )
    if "write" not in options:
        print(table)
        return
    page = Path(options["write"])
    text = page.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    page.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}", encoding="utf-8")
