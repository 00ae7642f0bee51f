"""Windows of a million rows at the price of their counts: drawn as sketches, not row by row.

A sketch of n independent rows is a multinomial draw of n over the bins, with the chances that the
distribution gives them: the same law as sketching n rows, for each feature by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.stats

from trimtab.sketch import Binning, Counted, Sketch, sketch

Rng = np.random.Generator
CDFS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "normal": scipy.stats.norm.cdf,
    "lognormal": scipy.stats.lognorm(1).cdf,
    "uniform": scipy.stats.uniform.cdf,
    "bimodal": lambda at: (
        (scipy.stats.norm.cdf(at, -2, 0.5) + scipy.stats.norm.cdf(at, 2, 0.5)) / 2
    ),
}
SDS = {"normal": 1.0, "lognormal": ((np.e - 1) * np.e) ** 0.5, "uniform": 12**-0.5, "bimodal": 4.25**0.5}  # fmt: skip
COUNTS = np.arange(60.0)


class Drawn:
    """Draws sketches of one feature.

    Args:
        binning: The reference's.
        name: The feature's, as in the calibration: its kind first.
        shift: By how many standard deviations it is moved.
    """

    def __init__(self, binning: Binning, name: str, shift: float = 0.0) -> None:
        kind, number = name.split()
        self._binning = binning
        self._codes, self._labels = np.array([], dtype=np.int64), ()
        if kind == "category":
            chances = 1 / np.arange(1, int(number) + 1)
            self._labels = tuple(f"level {n}" for n in range(int(number)))
        elif kind == "count":
            self._codes = np.concatenate([sketch(binning, COUNTS[[n]]).codes for n in range(60)])
            chances = scipy.stats.poisson.pmf(COUNTS, 4)
        else:
            self._codes, chances = _chances(binning, kind, shift * SDS[kind])
        self._chances = chances / chances.sum()

    def sketch(self, rng: Rng, rows: int) -> Sketch:
        """Of so many rows."""
        drawn = rng.multinomial(rows, self._chances)
        if self._labels:
            return sketch(self._binning, Counted(labels=self._labels, counts=tuple(drawn.tolist())))
        codes, place = np.unique(self._codes[drawn > 0], return_inverse=True)
        counts = np.bincount(place, drawn[drawn > 0]).astype(np.int64)
        return Sketch(bits=self._binning.bits, codes=codes, counts=counts)


def _chances(binning: Binning, kind: str, moved: float) -> tuple[np.ndarray, np.ndarray]:
    """Bins, and the chance of each: what the distribution function rises by between its edges."""
    infinite = 0xFF << (binning.bits - 9)
    raw = np.arange(1, infinite, dtype=np.uint32) << np.uint32(32 - binning.bits)
    edges = raw.view(np.float32).astype(np.float64)
    at = binning.median + binning.scale * np.concatenate((-edges[::-1], edges)) - moved
    chances = np.diff(CDFS[kind](at), prepend=0.0, append=1.0)
    found = np.flatnonzero(chances > 0)
    return found - (infinite - 1), chances[found]
