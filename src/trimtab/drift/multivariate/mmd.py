"""Maximum mean discrepancy, with random Fourier features."""

from __future__ import annotations

import numpy as np
import xxhash

from trimtab.types import Comparison, FloatArray

_FEATURES = 256
_PERMUTATIONS = 199
_WIDTHS = (0.5, 1.0, 2.0)
_SEED = 20_071


class KernelMean:
    """How far the mean points of both samples are apart in a Gaussian kernel's space.

    ``MMD² = |mean φ(x) - mean φ(y)|²`` with φ 256 random Fourier features for each of three widths
    around the median distance; the three are summed. The p-value is that of 199 permutations of who
    belongs to which sample, exact at any sample size. The same samples give the same answer.

    Source:
        Gretton et al., 2012, JMLR 13; Rahimi and Recht, 2007, NeurIPS. The level and the power are in
        tests/unit/drift/test_multivariate.py.
    """

    name = "mmd"
    floor = 0.05

    def score(self, reference: FloatArray, current: FloatArray) -> Comparison:
        """Compare two samples of points, shapes ``(n, d)`` and ``(m, d)``."""
        both = np.concatenate((reference, current))
        # Other samples, other permutations: with the same ones every time the level would be theirs.
        rng = np.random.default_rng([_SEED, xxhash.xxh3_64_intdigest(both.tobytes())])
        points = self._features(both, rng)
        n, m = len(reference), len(current)
        sides = np.concatenate((np.full(n, 1 / n), np.full(m, -1 / m)))
        shuffled = np.stack([sides, *(rng.permutation(sides) for _ in range(_PERMUTATIONS))])
        distances = np.square(shuffled @ points).sum(1) / len(_WIDTHS)
        found, without = float(distances[0]), distances[1:]
        usual = float(without.mean())
        return Comparison(
            name=self.name,
            statistic=self.name,
            score=float(np.sqrt(max(found - usual, 0.0) / 2)),
            noise_floor=float(np.sqrt(max(float(np.quantile(without, 0.95)) - usual, 0.0) / 2)),
            floor=self.floor,
            p_value=float((1 + (without >= found).sum()) / (1 + _PERMUTATIONS)),
            words="the features together come from elsewhere than in the reference",
        )

    def _features(self, both: FloatArray, rng: np.random.Generator) -> FloatArray:
        some = both[rng.permutation(len(both))[:500]]
        gaps = np.sqrt(np.square(some[:250, None] - some[None, 250:]).sum(-1))
        width = float(np.median(gaps)) if gaps.size and np.median(gaps) > 0 else 1.0
        parts = []
        for times in _WIDTHS:
            waves = both @ (rng.normal(size=(both.shape[1], _FEATURES)) / (width * times))
            parts += [np.cos(waves), np.sin(waves)]
        found: FloatArray = np.concatenate(parts, axis=1) / np.sqrt(_FEATURES)
        return found
