"""From sums to outputs, in the operations and the order of the libraries that the models come from."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
from scipy.special import expit

from trimtab.types import FloatArray

_EXP = np.frompyfunc(math.exp, 1, 1)


class Link(StrEnum):
    """What is made of the sums of a row."""

    NONE = "none"
    LOGISTIC = "logistic"
    """``1 / (1 + exp(-scale · sum))`` of each column."""
    BINARY = "binary"
    """Two columns, ``1 - p`` and ``p``, from one logistic column."""
    SOFTMAX = "softmax"
    EXP = "exp"
    SOFTMAX_LIBM = "softmax_libm"
    """Softmax with the C library's exponential, added in order: LightGBM's."""
    EXP_LIBM = "exp_libm"
    ISOLATION = "isolation"
    """``-2^(-sum / scale)``: what ``IsolationForest.score_samples`` answers."""


def linked(
    link: Link, sums: FloatArray, scale: float = 1.0, *, float32: bool = False
) -> FloatArray:
    """Outputs for sums of shape ``(rows, columns)``; with ``float32``, in XGBoost's float32 steps."""
    if link is Link.NONE:
        return sums
    if link is Link.BINARY:
        both = np.empty((len(sums), 2))
        both[:, 1] = linked(Link.LOGISTIC, sums[:, 0], scale, float32=float32)
        np.subtract(1.0, both[:, 1], out=both[:, 0])
        return both.astype(np.float32).astype(np.float64) if float32 else both
    return _in_float32(link, sums) if float32 else _in_float64(link, sums, scale)


def logistic_of_one(score: float) -> tuple[float, float]:
    """``1 - p`` and ``p`` of one score, to the last bit those of an array of scores."""
    high = float(expit(score))
    return 1.0 - high, high


def _in_float64(link: Link, sums: FloatArray, scale: float) -> FloatArray:
    if link is Link.LOGISTIC:
        return np.asarray(expit(sums if scale == 1.0 else scale * sums))
    if link is Link.SOFTMAX:
        powers = np.exp(sums - sums.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    if link is Link.EXP:
        return np.asarray(np.exp(sums))
    if link is Link.SOFTMAX_LIBM:
        powers = _libm_exp(sums - sums.max(axis=1, keepdims=True))
        return np.asarray(powers / np.add.accumulate(powers, axis=1)[:, -1:])
    if link is Link.EXP_LIBM:
        return _libm_exp(sums)
    # Of a forest that saw a single row, scale and depths are 0, and scikit-learn says 1/2.
    return np.asarray(-(2.0 ** -(sums / scale if scale else np.ones_like(sums))))


def _libm_exp(values: FloatArray) -> FloatArray:
    """NumPy's own exponential differs from the C library's in the last place."""
    return np.asarray(_EXP(values), np.float64)


def _in_float32(link: Link, sums: FloatArray) -> FloatArray:
    if link is Link.LOGISTIC:
        powers = np.exp(np.minimum(-sums, 88.7)).astype(np.float32)
        outputs = np.float32(1) / (powers + np.float32(1) + np.float32(1e-16))
    elif link is Link.SOFTMAX:
        single = sums.astype(np.float32)
        below = (single - single.max(axis=1, keepdims=True)).astype(np.float64)
        powers = np.exp(below).astype(np.float32)
        outputs = powers / powers.sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    else:
        with np.errstate(over="ignore"):
            outputs = np.exp(sums).astype(np.float32)
    return np.asarray(outputs, np.float64)
