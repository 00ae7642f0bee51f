"""When a guardrail would first fire, by Trimtab's e-process and by what others do, on one run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri
from worlds import BLOCK, Floats, Ints, Traffic

from trimtab.rollout import eprocess
from trimtab.types import Harm

Method = Callable[[Traffic, float], float]
NEVER = np.inf

_LEAST_CANDIDATES = 50
_LEAST_EVENTS = 10
_HARM = eprocess.harm(Harm.FEWER, 0.0)


def e_process(traffic: Traffic, alpha: float, delay: float = 0.0) -> float:
    """Trimtab's: units' first events in the order of answers, each at its share at exposure.

    Args:
        traffic: One run.
        alpha: The chance of a false rollback that is allowed.
        delay: Blocks that the outcome delay holds evidence back.

    Returns:
        Users who had arrived when it fired.
    """
    fired = first_crossing(traffic.event_arm, traffic.share[traffic.event_block], alpha)
    if fired is None:
        return NEVER
    at = traffic.event_block[fired] + 1 + delay
    return float(at * BLOCK) if at <= len(traffic.share) else NEVER


def first_crossing(arms: Ints, share: Floats, alpha: float) -> int | None:
    """The first event at which the e-value reaches ``1 / alpha``, found by halving.

    The peak is monotone, so the prefix that first reaches the limit can be searched for with the
    product's own update.
    """
    events = list(zip(arms.astype(bool).tolist(), share.tolist(), strict=True))
    limit = 1 / alpha
    if _HARM.update(_HARM.start(), events).e_peak < limit:
        return None
    low, high = 0, len(events)
    while high - low > 1:
        middle = (low + high) // 2
        reached = _HARM.update(_HARM.start(), events[:middle]).e_peak >= limit
        low, high = (low, middle) if reached else (middle, high)
    return high - 1


def z_peeking(traffic: Traffic, alpha: float) -> float:
    """A one-sided two-proportion z-test at each look of 100 users."""
    gap, variance = _pooled(traffic)
    return _first(traffic, gap / np.sqrt(variance) <= ndtri(alpha))


def m_sprt(traffic: Traffic, alpha: float, base: float = 0.03) -> float:
    """The mixture SPRT with a normal prior of 20 % of the base rate; two-sided, harm only fires.

    Source: Johari, Pekelis & Walsh, Always Valid Inference (2015), with the estimated variance.
    """
    gap, variance = _pooled(traffic)
    prior = (0.2 * base) ** 2
    log_ratio = 0.5 * np.log(variance / (variance + prior)) + gap**2 * prior / (
        2 * variance * (variance + prior)
    )
    return _first(traffic, (log_ratio >= np.log(1 / alpha)) & (gap < 0))


def asymptotic_sequence(traffic: Traffic, alpha: float, tuned_at: float = 5_000.0) -> float:
    """A one-sided asymptotic confidence sequence, tuned for 5,000 users.

    Source: Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence
    sequences (2021), the one-sided boundary.
    """
    gap, variance = _pooled(traffic)
    users = np.cumsum(traffic.users.sum(axis=0))
    rho = np.sqrt((-2 * np.log(2 * alpha) + np.log(1 - 2 * np.log(2 * alpha))) / tuned_at)
    grown = users * rho**2 + 1
    width = np.sqrt(
        variance * users * 2 * grown * np.log(1 + np.sqrt(grown) / (2 * alpha)) / (users * rho) ** 2
    )
    return _first(traffic, gap + width < 0)


def windowed_threshold(traffic: Traffic, alpha: float) -> float:  # noqa: ARG001 - it has no level
    """Three windows of 2,000 users in a row in which the candidate has less than 80 % of control."""
    per = 2_000 // BLOCK
    windows = traffic.users.shape[1] // per
    cut = (2, windows, per)
    users = traffic.users[:, : windows * per].reshape(cut).sum(axis=2)
    known = traffic.known[:, : windows * per].reshape(cut).sum(axis=2)
    control, candidate = known / np.maximum(users, 1)
    bad = (candidate < 0.8 * control) & (users[1] > 0)
    in_a_row = bad[2:] & bad[1:-1] & bad[:-2]
    return float((np.argmax(in_a_row) + 3) * 2_000) if in_a_row.any() else NEVER


def _pooled(traffic: Traffic) -> tuple[Floats, Floats]:
    """The candidate's rate minus control's, and its variance, at each look."""
    users = np.maximum(np.cumsum(traffic.users, axis=1), 1)
    share = np.cumsum(traffic.known, axis=1) / users
    mean = np.clip(share, 1 / users, 1 - 1 / users)
    return share[1] - share[0], (mean * (1 - mean) / users).sum(axis=0)


def _first(traffic: Traffic, fired: npt.NDArray[np.bool_]) -> float:
    users, known = np.cumsum(traffic.users[1]), np.cumsum(traffic.known.sum(axis=0))
    looked = fired & (users >= _LEAST_CANDIDATES) & (known >= _LEAST_EVENTS)
    return float(traffic.arrived[np.argmax(looked)]) if looked.any() else NEVER
