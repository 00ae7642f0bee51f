"""False alarms, power and traps of the verdict, as one table: what docs/calibration.md shows.

Thirty features (five each: normal, lognormal, uniform, bimodal, count; categories of 3, 5, 8, 20 and 50
levels, Zipf), a reference of 10,000 rows drawn anew for every replicate. Options: ``replicates=400``,
``others=150``, ``references=12``, ``windows=500``, ``traps=40``, ``millions=1000``,
``seed=1``, ``parts=single,others,repeated,traps,millions``, and ``write=PATH`` to put each part's table between
its marks in a page.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import scipy.stats
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent))

from drawn import Drawn
from page import show
from thirty import (
    CATEGORIES,
    CHANGES,
    FEATURES,
    SHIFTED,
    Rng,
    Table,
    alike,
    columns,
    correlated,
    draw,
    gappy,
    shifted,
)

from trimtab.config import WatchConfig
from trimtab.drift import (
    DATA_DRIFT,
    STATISTICS,
    FeatureComparer,
    ReferenceProfile,
    build_profile,
    window_of,
)
from trimtab.drift.comparison import PAIR_ROWS
from trimtab.drift.noise import effective_size, kolmogorov_p
from trimtab.judge import LEVEL, DriftJudge, flag
from trimtab.protocols import DriftStatistic
from trimtab.sketch import Sketch, TableSketch, side_by_side
from trimtab.types import Comparison, Verdict, Window

REFERENCE_ROWS = 10_000
WINDOWS = (200, 1_000, 10_000)
MILLION = 1_000_000
MANY_REFERENCE_ROWS = 100_000

Draw = Callable[[Rng, int], Table]
Lines = list[tuple[str, str, str, str]]


def judged(
    profile: ReferenceProfile, table: Table | Window, judge: DriftJudge | None = None
) -> Verdict:
    window = table if isinstance(table, Window) else window_of(profile, columns(table))
    judge = judge or DriftJudge(DATA_DRIFT, WatchConfig())
    return judge.judge(window, FeatureComparer(profile).compare(window))


class WithoutFloor:
    """A statistic to which nothing is too small to matter: what its p-value alone is worth."""

    floor = 0.0

    def __init__(self, statistic: DriftStatistic) -> None:
        self.name, self._statistic = statistic.name, statistic

    def score(self, reference: Sketch, current: Sketch) -> Comparison | None:
        found = self._statistic.score(reference, current)
        return None if found is None else replace(found, floor=0.0)


def significant(profile: ReferenceProfile, table: Table) -> bool:
    """Whether any feature would be flagged if no effect were too small to matter."""
    comparer = FeatureComparer(profile, [WithoutFloor(one) for one in STATISTICS])
    found = comparer.compare(window_of(profile, columns(table)))
    return bool(flag([replace(one, floor=0.0) for one in found]))


def stated(rows: int) -> float:
    """The level that is stated for windows of so many rows.

    It is 5 %, of which every comparison has its part, less what cannot happen: a comparison whose noise
    reaches its floor more rarely than that has no more than this chance.
    """
    rng = np.random.default_rng(0)
    size = effective_size(REFERENCE_ROWS, rows)

    def varying(chances: np.ndarray) -> float:
        one, other = (rng.multinomial(n, chances, 20_000) / n for n in (REFERENCE_ROWS, rows))
        return float(np.mean(np.abs(one - other).sum(axis=1) / 2 >= 0.05))

    numeric = kolmogorov_p(0.05, size) + varying(np.full(20, 0.05))
    zipf = [1 / np.arange(1, int(name.split()[1]) + 1) for name in CATEGORIES]
    numbers = len(FEATURES) - len(CATEGORIES)
    reach = [numeric] * numbers + [varying(chances / chances.sum()) for chances in zipf]
    pairs = numbers * (numbers - 1) / 2
    reach.append(float(2 * pairs * scipy.stats.norm.sf(0.1 * np.sqrt(size))))
    return sum(min(LEVEL / len(reach), one) for one in reach)


def replicates(count: int, seed: int) -> Lines:
    """False alarms of single windows, and power, with a reference of its own for each replicate."""
    rng = np.random.default_rng(seed)
    alarms: Counter[int] = Counter()
    certain: Counter[int] = Counter()
    found: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for _ in range(count):
        profile = build_profile(columns(draw(rng, REFERENCE_ROWS)))
        for rows in WINDOWS:
            table = draw(rng, rows)
            alarms[rows] += bool(judged(profile, table).flagged)
            certain[rows] += significant(profile, table)
        for name, (change, features, _) in CHANGES.items():
            table = draw(rng, 1_000)
            flagged = judged(
                profile, table | {at: change(rng, table[at]) for at in features}
            ).flagged
            found[name] += sum(feature in flagged for feature in features)
            asked[name] += len(features)
        found["pair"] += "correlation" in judged(profile, correlated(draw(rng, 1_000))).flagged
        asked["pair"] += 1
    lines = []
    for rows in WINDOWS:
        lines.append(within(f"no drift, {rows:,} rows: flagged", alarms[rows], count, stated(rows)))
        lines.append(within("the same, floors aside", certain[rows], count, LEVEL, bound=True))
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


def within(
    what: str, found: int, count: int, level: float, *, bound: bool = False
) -> tuple[str, str, str, str]:
    """Whether a count is inside the 99 % band of the level that is stated, or of an upper bound."""
    low, high = scipy.stats.binom.interval(0.99, count, level)
    low = 0 if bound else low
    return (
        what,
        f"{found} of {count} windows ({found / count:.1%})",
        f"{'at most ' if bound else ''}{level:.1%}; 99 % band {low:.0f}–{high:.0f}",
        mark(low <= found <= high),
    )


OTHERS: Mapping[str, tuple[Draw, int, int]] = {
    "100 rows": (draw, REFERENCE_ROWS, 100),
    "300 rows": (draw, REFERENCE_ROWS, 300),
    "3,000 rows": (draw, REFERENCE_ROWS, 3_000),
    "300 rows, a reference of 1,000": (draw, 1_000, 300),
    "300 rows, a tenth of each number missing": (gappy, REFERENCE_ROWS, 300),
    "300 rows, 15 numbers with correlations of 0.8": (alike, REFERENCE_ROWS, 300),
}
WINDOWS_A_REFERENCE = 10


def others(references: int, seed: int) -> Lines:
    """False alarms of other windows and other data."""
    rng = np.random.default_rng(seed)
    lines = []
    for what, (make, known, rows) in OTHERS.items():
        alarms = 0
        for _ in range(references):
            profile = build_profile(columns(make(rng, known)))
            alarms += sum(
                bool(judged(profile, make(rng, rows)).flagged) for _ in range(WINDOWS_A_REFERENCE)
            )
        count = references * WINDOWS_A_REFERENCE
        lines.append(within(f"no drift, {what}: flagged", alarms, count, LEVEL, bound=True))
    return lines


def repeated(references: int, windows: int, seed: int) -> Lines:
    """Alarms to people over one deployment's windows, without drift: one fixed reference each."""
    rng = np.random.default_rng(seed)
    alarms = excursions = 0
    for _ in range(references):
        profile = build_profile(columns(draw(rng, REFERENCE_ROWS)))
        judge = DriftJudge(DATA_DRIFT, WatchConfig())
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


def traps(count: int, seed: int) -> Lines:
    """Situations in which defaults elsewhere go wrong."""
    rng = np.random.default_rng(seed)
    doubled = doubled_out_ref = doubled_out_cur = outlier = empty = constant = 0
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
    return [
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


def millions(windows: int, seed: int) -> Lines:
    """A shift that is too small to matter, in every window of ten deployments."""
    rng = np.random.default_rng(seed)
    alarms = flagged = 0
    for _ in range(10):
        profile = build_profile(columns(draw(rng, MANY_REFERENCE_ROWS)))
        judge = DriftJudge(DATA_DRIFT, WatchConfig())
        drawn = [
            Drawn(feature.binning, name, 0.01 if name in SHIFTED else 0.0)
            for feature, name in zip(profile.features, FEATURES, strict=True)
        ]
        for _ in range(windows // 10):
            verdict = judged(profile, million(profile, drawn, rng), judge)
            alarms += verdict.alarmed
            flagged += bool(verdict.flagged)
    return [
        (
            "mean + 0.01 sd in 5 of 30 features, 1,000,000 rows",
            f"{alarms} alarms, {flagged} flagged of {windows // 10 * 10:,}",
            "never",
            mark(not (alarms or flagged)),
        )
    ]


def million(profile: ReferenceProfile, drawn: list[Drawn], rng: Rng) -> Window:
    """A window of a million rows; its correlations are those of 20,000 rows, as ever."""
    table = {name: value for name, value in draw(rng, PAIR_ROWS).items() if name not in CATEGORIES}
    table |= {name: shifted(0.01)(rng, table[name]) for name in SHIFTED}
    content = TableSketch(
        rows=MILLION,
        cells=side_by_side([one.sketch(rng, MILLION) for one in drawn]),
        pairs=profile.feature_sketcher().pairs(list(table.values())),
    )
    return Window(
        subject=DATA_DRIFT, model="", version=0, start=0.0, end=0.0, rows=MILLION, content=content
    )


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
    """Print the tables, or write them into a page."""
    seed = int(options.get("seed", 1))
    parts = {
        "single": lambda: replicates(int(options.get("replicates", 400)), seed),
        "others": lambda: others(int(options.get("others", 150)), seed + 4),
        "repeated": lambda: repeated(
            int(options.get("references", 12)), int(options.get("windows", 500)), seed + 1
        ),
        "traps": lambda: traps(int(options.get("traps", 40)), seed + 2),
        "millions": lambda: millions(int(options.get("millions", 1_000)), seed + 3),
    }
    for name in options.get("parts", ",".join(parts)).split(","):
        began = time.perf_counter()
        lines = parts[name]()
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
        show(name, ("what", "measured", "stated", "holds"), lines, options.get("write"))
