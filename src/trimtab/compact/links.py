"""From sums to outputs, in the operations and the order of the libraries that the models come from."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from scipy.special import expit

from trimtab.types import FloatArray


class Link(StrEnum):
    """What is made of the sums of a row."""

    NONE = "none"
    LOGISTIC = "logistic"
    """``1 / (1 + exp(-scale · sum))`` of each column."""
    BINARY = "binary"
    """Two columns, ``1 - p`` and ``p``, from one logistic column."""
    SOFTMAX = "softmax"
    EXP = "exp"
    ISOLATION = "isolation"
    """``-2^(-sum / scale)``: what ``IsolationForest.score_samples`` answers."""


def linked(link: Link, sums: FloatArray, scale: float = 1.0) -> FloatArray:
    """Outputs for sums of shape ``(rows, columns)``."""
    if link is Link.NONE:
        return sums
    if link is Link.LOGISTIC:
        return np.asarray(expit(sums if scale == 1.0 else scale * sums))
    if link is Link.BINARY:
        p = linked(Link.LOGISTIC, sums[:, :1], scale)
        return np.concatenate([1 - p, p], axis=1)
    if link is Link.SOFTMAX:
        powers = np.exp(sums - sums.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    if link is Link.EXP:
        return np.asarray(np.exp(sums))
    return np.asarray(-(2.0 ** -(sums / scale)))
