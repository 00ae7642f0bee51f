"""Statistics on sketches beside SciPy's on the raw values, with their bounds. Options: ``draws``, ``seed``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.stats
from scipy.spatial.distance import jensenshannon

from trimtab.drift.cells import cells
from trimtab.drift.chi_square import ChiSquare
from trimtab.drift.cramer_von_mises import CramerVonMises
from trimtab.drift.hellinger import Hellinger
from trimtab.drift.jensen_shannon import JensenShannon
from trimtab.drift.ks import KolmogorovSmirnov
from trimtab.drift.l_infinity import LInfinity
from trimtab.drift.noise import pooled
from trimtab.drift.psi import index
from trimtab.drift.rounding import rounded
from trimtab.drift.total_variation import TotalVariation
from trimtab.drift.wasserstein import Wasserstein
from trimtab.sketch import Sketch, fit, sketch
from trimtab.types import Array, Comparison, FeatureKind

REFERENCE, CURRENT = 100_000, 50_000
SHAPES = {
    "normal": lambda rng, rows, by: rng.normal(by, 1, rows),
    "lognormal": lambda rng, rows, by: rng.lognormal(by, 1, rows),
    "uniform": lambda rng, rows, by: rng.uniform(by, 1 + by, rows),
    "bimodal": lambda rng, rows, by: rng.choice([-3.0, 3.0], rows) + rng.normal(by, 1, rows),
}
SHIFTS = (0.0, 0.1, 0.5)


def sure(found: Comparison | None) -> Comparison:
    assert found is not None
    return found


def continuous(rng: np.random.Generator, draws: int) -> dict[str, tuple[float, str]]:
    """The largest difference from SciPy over shapes, shifts and draws."""
    worst: dict[str, float] = {}

    def keep(name: str, difference: float) -> None:
        worst[name] = max(worst.get(name, 0.0), abs(difference))

    for draw in SHAPES.values():
        for by in SHIFTS:
            for _ in range(draws):
                a, b = draw(rng, REFERENCE, 0.0), draw(rng, CURRENT, by)
                binning = fit(FeatureKind.NUMERIC, a)
                before, now = sketch(binning, a), sketch(binning, b)
                exact = scipy.stats.ks_2samp(a, b, method="asymp").statistic
                keep("ks", sure(KolmogorovSmirnov().score(before, now)).score - exact)
                stored = sure(KolmogorovSmirnov().score(rounded(before), now)).score
                keep("ks stored", stored - exact)
                iqr = float(np.subtract(*np.quantile(a, (0.75, 0.25))))
                moved = scipy.stats.wasserstein_distance(a, b) / iqr
                bound = np.abs(np.concatenate((a, b)) - np.median(a)).mean() / iqr / 64
                found = sure(Wasserstein().score(before, now)).current_value or 0.0
                keep("wasserstein / bound", (found - moved) / bound)
                size = REFERENCE * CURRENT / (REFERENCE + CURRENT)
                cvm = scipy.stats.cramervonmises_2samp(a, b, method="asymptotic").statistic
                score = sure(CramerVonMises().score(before, now)).score
                keep("cvm", score - np.sqrt(max(0.0, 3 * cvm / size)))
    return {
        "KS, 14 or 16 bits": (worst["ks"], "0.002"),
        "KS against a stored profile": (worst["ks stored"], "0.002"),
        "Wasserstein, as a share of its bound (1/64 of the mean distance from the median)": (
            worst["wasserstein / bound"],
            "1",
        ),
        "Cramér-von Mises distance": (worst["cvm"], "0.002"),
    }


def shares(a: Array, b: Array) -> tuple[Array, Array]:
    values = np.unique(np.concatenate((a, b)))
    return tuple(np.array([(x == v).mean() for v in values]) for x in (a, b))  # type: ignore[return-value]


def discrete(rng: np.random.Generator, draws: int) -> dict[str, tuple[float, str]]:
    """The same where values repeat and every value is a cell."""
    worst: dict[str, float] = {}
    for by in (0.0, 0.2, 1.0):
        for _ in range(draws):
            a = rng.poisson(4, 5_000).astype(float)
            b = rng.poisson(4 + by, 2_000).astype(float)
            binning = fit(FeatureKind.NUMERIC, a)
            pair: tuple[Sketch, Sketch] = sketch(binning, a), sketch(binning, b)
            p, q = shares(a, b)
            table = pooled(*cells(*pair))
            smooth = [(x + 0.001) / (1 + 0.001 * len(x)) for x in (p, q)]
            u, v = (p, q) if (p * q).all() else smooth
            exact = {
                "KS": (KolmogorovSmirnov, scipy.stats.ks_2samp(a, b, method="asymp").statistic),
                "Jensen-Shannon": (JensenShannon, jensenshannon(p, q, base=2)),
                "total variation": (TotalVariation, np.abs(p - q).sum() / 2),
                "Hellinger": (Hellinger, np.sqrt(max(0.0, 1 - np.sqrt(p * q).sum()))),
                "L-infinity": (LInfinity, np.abs(p - q).max()),
            }
            for name, (statistic, value) in exact.items():
                difference = abs(sure(statistic().score(*pair)).score - float(value))
                worst[name] = max(worst.get(name, 0.0), difference)
            p_value = scipy.stats.chi2_contingency(table, correction=False).pvalue
            found = sure(ChiSquare().score(*pair)).p_value or 0.0
            worst["chi-square p"] = max(worst.get("chi-square p", 0.0), abs(found - p_value))
            psi = float(((u - v) * np.log(u / v)).sum())
            worst["PSI"] = max(worst.get("PSI", 0.0), abs(index(*cells(*pair)) - psi))
    return {f"{name}, discrete values": (value, "1e-9") for name, value in worst.items()}


def run(options: Mapping[str, str]) -> None:
    """Print the table."""
    rng = np.random.default_rng(int(options.get("seed", 1)))
    draws = int(options.get("draws", 10))
    print("| statistic | largest difference | bound |\n|---|---|---|")
    for name, (value, bound) in (continuous(rng, draws) | discrete(rng, draws)).items():
        print(f"| {name} | {value:.2g} | {bound} |", flush=True)
