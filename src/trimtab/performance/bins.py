"""Bins of scores and errors: what is counted is integers, which merge and subtract exactly.

A score's bin is 1/256 of log-odds wide (1/64 where there are several classes), which moves a score by
at most 1/2048 (1/512); an error's bin is its top 18 bits as a float32, at most 0.1 % off.
"""

from __future__ import annotations

import math
import struct

import numpy as np
import numpy.typing as npt

from trimtab.performance.metrics import LEAST_SHARE
from trimtab.types import Array, FloatArray

_LOG_ODDS_LIMIT = 20.0
_ERROR_SHIFT = 14


def bins_per_log_odds(classes: int) -> float:
    """How finely scores are counted."""
    return 256.0 if classes == 2 else 64.0


def score_place(score: float, decision: int, classes: int) -> int:
    """The bin of a score and a decision: they have one together, so a threshold splits its bin."""
    share = min(max(score, LEAST_SHARE), 1.0 - LEAST_SHARE)
    odds = min(max(math.log(share / (1.0 - share)), -_LOG_ODDS_LIMIT), _LOG_ODDS_LIMIT)
    return math.floor(odds * bins_per_log_odds(classes)) * classes + decision


def score_places(scores: FloatArray, decisions: Array, classes: int) -> npt.NDArray[np.int64]:
    """As ``score_place``, to the bit, of many scores; none of them is NaN."""
    shares = np.clip(scores, LEAST_SHARE, 1.0 - LEAST_SHARE)
    # NumPy's logarithm differs in the last bit, now and then.
    logs = np.fromiter(map(math.log, (shares / (1.0 - shares)).tolist()), np.float64, len(scores))
    odds = np.clip(logs, -_LOG_ODDS_LIMIT, _LOG_ODDS_LIMIT)
    places = np.floor(odds * bins_per_log_odds(classes)).astype(np.int64)
    return places * classes + decisions.astype(np.int64)


def scores_at(places: npt.NDArray[np.int64], classes: int) -> tuple[FloatArray, Array]:
    """The scores in the middle of their bins, and the decisions."""
    odds = (places // classes + 0.5) / bins_per_log_odds(classes)
    return np.asarray(1.0 / (1.0 + np.exp(-odds)), dtype=np.float64), places % classes


def error_place(error: float) -> int:
    """Sign, exponent and nine bits of mantissa of an error as a float32."""
    most = float(np.finfo(np.float32).max)
    (bits,) = struct.unpack("<I", struct.pack("<f", min(max(error, -most), most)))
    return int(bits) >> _ERROR_SHIFT


def errors_at(places: npt.NDArray[np.int64]) -> FloatArray:
    """The errors in the middle of their bins; less than the least normal float32 is no error."""
    bits = (places << _ERROR_SHIFT) + (1 << (_ERROR_SHIFT - 1))
    errors = bits.astype(np.uint32).view(np.float32).astype(np.float64)
    return np.where(np.abs(errors) < np.finfo(np.float32).tiny, 0.0, errors)


def coarse_place(score: float) -> int:
    """A coarse bin of a score: sign, exponent and one bit of mantissa, so 2 bins from x to 2 x."""
    most = float(np.finfo(np.float32).max)
    (bits,) = struct.unpack("<I", struct.pack("<f", min(max(score, -most), most)))
    return int(bits) >> 22


def coarse_places(scores: FloatArray) -> npt.NDArray[np.int64]:
    """As ``coarse_place``, of many scores."""
    most = float(np.finfo(np.float32).max)
    bits = np.clip(scores, -most, most).astype(np.float32).view(np.uint32)
    return (bits >> np.uint32(22)).astype(np.int64)
