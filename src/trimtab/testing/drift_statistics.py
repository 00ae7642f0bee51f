"""The laws of a drift statistic."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec.structs
import numpy as np
from scipy.special import ndtri

from trimtab.protocols import DriftStatistic
from trimtab.sketch import Binning, Sketch, fit, sketch, to_bytes
from trimtab.types import Array, Comparison, FeatureKind

SHIFTS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.3, 0.6)
_ROWS = 2_000
_NORMAL = ndtri((np.arange(_ROWS) + 0.5) / _ROWS)
_PLAIN = np.repeat(np.array(["a", "b", "c"], dtype=object), (1_000, 600, 400))


def check_drift_statistic(statistic: DriftStatistic) -> None:
    """The laws of a drift statistic.

    On equal samples the score is 0; it lies in [0, 1] and never falls as a shift grows; it says how
    far the distributions are apart and not how sure that is, so that a hundred times the rows leave
    it where it was; a p-value lies in [0, 1]; scoring changes nothing and gives the same answer
    twice; and a window without values is no error. A statistic may answer None where it does not
    apply, but not to every one of: a numeric shift, a constant that starts to vary, missing values,
    a shift between categories, new categories.

    Args:
        statistic: The object to check.

    Raises:
        AssertionError: naming the law that is broken.
    """
    answered = 0
    for name, (reference, shift) in _LADDERS.items():
        where = f"{statistic.name} on {name}"
        binning = fit(_kind(reference), reference)
        before = sketch(binning, reference)
        scores = [
            found.score
            for size in SHIFTS
            if (found := _checked(statistic, before, sketch(binning, shift(size)), where))
        ]
        if not scores:
            continue
        if len(scores) == len(SHIFTS):
            _expect(scores[0] < 1e-9, f"{where}: equal samples score 0, not {scores[0]}")
        _expect(
            all(a <= b + 1e-9 for a, b in pairwise(scores)),
            f"{where}: the score falls as the shift grows: {scores}",
        )
        answered += scores[-1] > scores[0]
        _check_rows(statistic, before, sketch(binning, shift(0.02)), where)
        _check_empty(statistic, binning, before, where)
    _expect(answered > 0, f"{statistic.name} sees none of: {', '.join(_LADDERS)}")


def _checked(
    statistic: DriftStatistic, reference: Sketch, current: Sketch, where: str
) -> Comparison | None:
    bytes_before = to_bytes([reference, current])
    found = statistic.score(reference, current)
    _expect(
        found == statistic.score(reference, current), f"{where}: another answer when asked again"
    )
    _expect(to_bytes([reference, current]) == bytes_before, f"{where}: it changed its arguments")
    if found is None:
        return None
    _expect(0 <= found.score <= 1, f"{where}: the score {found.score} is not in [0, 1]")
    _expect(0 <= found.noise_floor <= 1, f"{where}: noise floor {found.noise_floor} not in [0, 1]")
    if found.p_value is not None:
        _expect(0 <= found.p_value <= 1, f"{where}: the p-value {found.p_value} is not in [0, 1]")
    return found


def _check_rows(statistic: DriftStatistic, reference: Sketch, current: Sketch, where: str) -> None:
    few = statistic.score(reference, current)
    many = statistic.score(_times(reference, 100), _times(current, 100))
    if few is not None and many is not None:
        _expect(
            abs(few.score - many.score) < 0.02,
            f"{where}: the score goes from {few.score} to {many.score} with the number of rows",
        )


def _check_empty(
    statistic: DriftStatistic, binning: Binning, reference: Sketch, where: str
) -> None:
    empty = np.array([], dtype=np.float64 if binning.bits else object)
    found = statistic.score(reference, sketch(binning, empty))
    _expect(found is None or found.score == 0, f"{where}: a window without rows scores")


def _times(found: Sketch, factor: int) -> Sketch:
    return msgspec.structs.replace(
        found,
        counts=found.counts * factor,
        missing=found.missing * factor,
        fresh={name: rows * factor for name, rows in found.fresh.items()},
        overflow=found.overflow * factor,
    )


def _kind(reference: Array) -> FeatureKind:
    return FeatureKind.CATEGORICAL if reference.dtype == object else FeatureKind.NUMERIC


def _moved(share: float) -> Array:
    values = _PLAIN.copy()
    values[: round(share * 1_000)] = "c"
    return values


_LADDERS: dict[str, tuple[Array, Callable[[float], Array]]] = {
    "a numeric shift": (_NORMAL, lambda size: _NORMAL + size),
    "a constant that starts to vary": (
        np.zeros(_ROWS),
        lambda size: (np.arange(_ROWS) < size * _ROWS).astype(np.float64),
    ),
    "missing values": (
        _NORMAL,
        lambda size: np.concatenate((_NORMAL, np.full(round(size * _ROWS), np.nan))),
    ),
    "a shift between categories": (_PLAIN, _moved),
    "new categories": (
        _PLAIN,
        lambda size: np.concatenate((_PLAIN, np.full(round(size * _ROWS), "zz", dtype=object))),
    ),
}


def _expect(holds: bool, law: str) -> None:
    if not holds:
        raise AssertionError(law)
