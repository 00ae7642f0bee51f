"""Series of time blocks that depend on those before: block lengths, and what a mean is still worth."""

from __future__ import annotations

import math

import numpy as np

from trimtab.types import FloatArray

_SIGNIFICANT = 2.0
_LEAST_LAGS = 5


def block_length(series: FloatArray) -> int:
    """How many successive values a block bootstrap has to keep together; 1 for independent ones.

    ``b = (2 G² / D)^⅓ n^⅓`` with ``G = Σ λ(k/M) |k| R(k)`` and ``D = 4/3 (Σ λ(k/M) R(k))²``, where R
    are autocovariances, λ is the flat-top window and M twice the lag behind which no autocorrelation
    is significant; at most ``min(3 √n, n/3)``.

    Args:
        series: In the order of time.

    Source:
        Politis and White, 2004, Econometric Reviews 23, with Patton's correction, 2009.
        tests/unit/drift/test_blockwise.py holds it against series of known memory.

    >>> block_length(np.tile([1.0, 2.0, -1.0, -2.0, 0.5], 20)[::-1] * 0 + 1)
    1
    """
    size = len(series)
    most = math.floor(min(3 * math.sqrt(size), size / 3))
    centred = series - series.mean()
    if size < 8 or not float(np.square(centred).sum()) > 1e-12 * size:
        return 1
    lags = min(size - 1, most + _LEAST_LAGS)
    covariances = np.array(
        [float(centred[k:] @ centred[: size - k]) / size for k in range(lags + 1)]
    )
    limit = _SIGNIFICANT * math.sqrt(math.log10(size) / size)
    memory = _memory(np.abs(covariances[1:] / covariances[0]) < limit)
    if not memory:
        return 1
    reach = min(2 * memory, lags)
    at = np.arange(1, reach + 1)
    window = np.minimum(1.0, 2 * (1 - at / reach))
    spread = float(covariances[0] + 2 * (window * covariances[1 : reach + 1]).sum())
    slope = float(2 * (window * at * covariances[1 : reach + 1]).sum())
    if spread <= 0:
        return max(1, most)
    length = float((2 * slope**2 / (4 / 3 * spread**2)) ** (1 / 3) * size ** (1 / 3))
    return min(max(1, math.ceil(length)), max(1, most))


def independent(series: FloatArray, length: int) -> float:
    """How many independent values tell as much of the mean as these, by the moving-block bootstrap.

    Its variance of the mean needs no drawing: ``length / n`` times the variance over all moving
    blocks of their means. At most n, at least 2.

    Args:
        series: In the order of time.
        length: Of the moving blocks, from :func:`block_length`.

    Source:
        Künsch, 1989, Annals of Statistics 17.
    """
    size = len(series)
    variance = float(series.var())
    if length <= 1 or not variance:
        return float(size)
    means = np.convolve(series, np.full(length, 1 / length), "valid")
    of_mean = length / size * float(np.square(means - series.mean()).mean())
    return min(float(size), max(2.0, variance / of_mean)) if of_mean else float(size)


def _memory(quiet: FloatArray) -> int:
    """The lag behind which five autocorrelations in a row are noise."""
    for lag in range(len(quiet) - _LEAST_LAGS + 1):
        if quiet[lag : lag + _LEAST_LAGS].all():
            return lag
    return len(quiet)
