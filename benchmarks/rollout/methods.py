"""When a guardrail would first fire, by what others do, on many runs at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from worlds import BLOCK, Floats, Seen

Method = Callable[[Seen, float], Floats]
"""Users who had arrived when it fired, one number a run; infinite where it never did."""

_LEAST_CANDIDATES = 50
_LEAST_EVENTS = 10


def z_peeking(seen: Seen, alpha: float) -> Floats:
    """A one-sided two-proportion z-test at each look of 100 users."""
    gap, variance = _pooled(seen)
    return _first(seen, gap / np.sqrt(variance) <= ndtri(alpha))


def m_sprt(seen: Seen, alpha: float, base: float = 0.03) -> Floats:
    """The mixture SPRT with a normal prior of 20 % of the base rate; two-sided, harm only fires.

    Source: Johari, Pekelis & Walsh, Always Valid Inference (2015), with the estimated variance.
    """
    gap, variance = _pooled(seen)
    prior = (0.2 * base) ** 2
    log_ratio = 0.5 * np.log(variance / (variance + prior)) + gap**2 * prior / (
        2 * variance * (variance + prior)
    )
    return _first(seen, (log_ratio >= np.log(1 / alpha)) & (gap < 0))


def asymptotic_sequence(seen: Seen, alpha: float, tuned_at: float = 5_000.0) -> Floats:
    """A one-sided asymptotic confidence sequence, tuned for 5,000 users.

    Source: Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence
    sequences (2021), the one-sided boundary.
    """
    gap, variance = _pooled(seen)
    users = np.cumsum(seen.users.sum(axis=0), axis=-1)
    rho = np.sqrt((-2 * np.log(2 * alpha) + np.log(1 - 2 * np.log(2 * alpha))) / tuned_at)
    grown = users * rho**2 + 1
    width = np.sqrt(
        variance * users * 2 * grown * np.log(1 + np.sqrt(grown) / (2 * alpha)) / (users * rho) ** 2
    )
    return _first(seen, gap + width < 0)


def windowed_threshold(seen: Seen, alpha: float) -> Floats:  # noqa: ARG001 - it has no level
    """Three windows of 2,000 users in a row in which the candidate has less than 80 % of control."""
    per = 2_000 // BLOCK
    runs, windows = seen.users.shape[1], seen.users.shape[2] // per
    cut = (2, runs, windows, per)
    users = seen.users[..., : windows * per].reshape(cut).sum(axis=-1)
    known = seen.known[..., : windows * per].reshape(cut).sum(axis=-1)
    control, candidate = known / np.maximum(users, 1)
    bad = (candidate < 0.8 * control) & (users[1] > 0)
    in_a_row = bad[:, 2:] & bad[:, 1:-1] & bad[:, :-2]
    return np.where(in_a_row.any(axis=1), (in_a_row.argmax(axis=1) + 3) * 2_000.0, np.inf)


def _pooled(seen: Seen) -> tuple[Floats, Floats]:
    """The candidate's rate minus control's, and its variance, at each look."""
    users = np.maximum(np.cumsum(seen.users, axis=-1), 1)
    share = np.cumsum(seen.known, axis=-1) / users
    mean = np.clip(share, 1 / users, 1 - 1 / users)
    return share[1] - share[0], (mean * (1 - mean) / users).sum(axis=0)


def _first(seen: Seen, fired: npt.NDArray[np.bool_]) -> Floats:
    users = np.cumsum(seen.users[1], axis=-1)
    known = np.cumsum(seen.known.sum(axis=0), axis=-1)
    looked = fired & (users >= _LEAST_CANDIDATES) & (known >= _LEAST_EVENTS)
    return np.where(looked.any(axis=1), (looked.argmax(axis=1) + 1.0) * BLOCK, np.inf)
