"""The thirty features that calibration is measured on, and what may change in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import scipy.stats

from trimtab.types import Columns, FeatureKind, FeatureSpec

COPIES = 5
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


def gappy(rng: Rng, rows: int) -> Table:
    """As ``draw``, a tenth of each number missing."""
    return {
        name: values if name in CATEGORIES else lost(0.1)(rng, values)
        for name, values in draw(rng, rows).items()
    }


def alike(rng: Rng, rows: int) -> Table:
    """As ``draw``, but fifteen numbers go together: correlations of 0.8."""
    table, common = draw(rng, rows), rng.normal(size=rows)
    for copy in range(COPIES):
        for kind, of in (
            ("normal", np.asarray),
            ("lognormal", np.exp),
            ("uniform", scipy.stats.norm.cdf),
        ):
            table[f"{kind} {copy}"] = of(0.8**0.5 * common + 0.2**0.5 * rng.normal(size=rows))
    return table
