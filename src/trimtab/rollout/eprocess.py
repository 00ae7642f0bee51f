"""Events-only e-processes: evidence that may be looked at after every event.

An event is a unit's first conversion, error, wrong decision. Let ``s`` be the candidate's share when
that unit was answered and ``t`` the relative risk at the edge of the null hypothesis. Whatever the
base rate does, under the null an event belongs to the candidate with probability at most (for
``t r > t``; at least, for the other direction) ``s0 = s t / (s t + 1 - s)``. A bet on the relative
risk ``t r`` instead pays ``q / s0`` on a candidate's event and ``(1 - q) / (1 - s0)`` on control's,
``q = s t r / (s t r + 1 - s)``. The mean over a fixed grid of ``r`` of the products is a nonnegative
supermartingale that starts at 1, so by Ville's inequality it ever reaches 1/alpha with probability at
most alpha: under continuous looking, ramps, drifting base rates and delayed outcomes.

A bounded outcome is bet on in the same way. An amount ``y`` in [0, 1] pays ``1 + y (f - 1)`` where a
whole event pays the factor ``f``. If the candidate's mean is ``m1`` and control's ``m0``, the expected
payoff is ``1 + (q - s0) (s t + 1 - s) (m1 / t - m0)``: at most 1 under the null, whatever the
distributions are and however they drift. With ``y`` 0 or 1 it is the events-only process.

Source: Lindon & Malek, Anytime-Valid Inference for Multinomial Count Data (NeurIPS 2022); Ville, Etude
critique de la notion de collectif (1939). ``tests/unit/rollout/test_eprocess.py`` checks it against
the plain products, ``tests/property/test_law_guardrails.py`` its error rates and its speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log

import numpy as np

from trimtab.types import FloatArray, Harm, Record

GRID = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SPLIT_ODDS = (1.05, 1.1, 1.2, 1.5, 2.0, 4.0)
CERTIFICATE_POWERS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_LARGEST_LOG = 700.0


class Evidence(Record, frozen=True):
    """What an e-process has seen.

    ``log_payoffs`` has one natural logarithm a grid point; ``log_peak`` is that of the largest
    e-value ever, at least 0.
    """

    log_payoffs: tuple[float, ...]
    log_peak: float = 0.0

    @property
    def e_value(self) -> float:
        """The e-value now: the mean payoff, > 0."""
        return exp(min(_log_mean(np.array([self.log_payoffs]))[0], _LARGEST_LOG))

    @property
    def e_peak(self) -> float:
        """The largest e-value so far, >= 1."""
        return exp(min(self.log_peak, _LARGEST_LOG))


class EProcess(Record, frozen=True):
    """A bet against one null hypothesis about the relative risk of the candidate's events.

    ``edge`` is the relative risk at the null's edge; ``ratios`` are the alternatives, relative to it,
    all above 1 or all below. With ``edges`` each alternative has an edge of its own instead.
    """

    edge: float
    ratios: tuple[float, ...]
    edges: tuple[float, ...] = ()

    def start(self) -> Evidence:
        """Before any event: e-value 1."""
        return Evidence(log_payoffs=(0.0,) * len(self.ratios))

    def update(
        self,
        evidence: Evidence,
        events: Sequence[tuple[bool, float]],
        amounts: Sequence[float] | None = None,
    ) -> Evidence:
        """Add events, in the order in which they became known.

        Batches do not matter: two updates equal one with both batches, bit for bit.

        Args:
            evidence: So far.
            events: Whether the candidate's, and the candidate's share when the unit was answered.
                An event at share 0 or 1 says nothing about the candidate against control.
            amounts: How much of an event each is, in [0, 1]; None stands for whole events.

        Returns:
            The evidence after the last event.
        """
        path = self._path(evidence, events, amounts)
        if not len(path):
            return evidence
        return Evidence(
            log_payoffs=tuple(path[-1].tolist()),
            log_peak=max(evidence.log_peak, float(_log_mean(path).max())),
        )

    def reaches(
        self,
        limit: float,
        evidence: Evidence,
        events: Sequence[tuple[bool, float]],
        amounts: Sequence[float] | None = None,
    ) -> int | None:
        """How many of the events it takes until the e-value stands at a limit, None if it never does.

        Args:
            limit: The e-value, above 1.
            evidence: So far.
            events: As ``update`` takes them.
            amounts: As ``update`` takes them.
        """
        reached = np.flatnonzero(_log_mean(self._path(evidence, events, amounts)) >= log(limit))
        return _telling(events)[reached[0]] + 1 if len(reached) else None

    def _path(
        self,
        evidence: Evidence,
        events: Sequence[tuple[bool, float]],
        amounts: Sequence[float] | None,
    ) -> FloatArray:
        """The logarithms of the payoffs after each event that tells something, one row an event."""
        told = _telling(events)
        candidate = np.array([events[at][0] for at in told], dtype=np.float64)[:, None]
        share = np.array([events[at][1] for at in told])[:, None]
        ratio = np.array(self.ratios)
        odds = share * np.array(self.edges or (self.edge,))
        gains = np.log((odds + 1 - share) / (odds * ratio + 1 - share)) + candidate * np.log(ratio)
        if amounts is not None:
            gains = np.log1p(np.array([amounts[at] for at in told])[:, None] * np.expm1(gains))
        path = np.cumsum(np.vstack([evidence.log_payoffs, gains]), axis=0)
        return np.asarray(path[1:], dtype=np.float64)


def harm(harm: Harm, margin: float) -> EProcess:
    """Bets that the candidate is worse than control by more than a tolerated margin.

    Args:
        harm: Whether more or fewer events are worse.
        margin: The relative harm that is tolerated, in [0, 1).
    """
    if harm is Harm.FEWER:
        return EProcess(edge=1 - margin, ratios=GRID)
    return EProcess(edge=1 + margin, ratios=tuple(1 / r for r in GRID))


def certificate(harm: Harm, margin: float) -> EProcess:
    """Bets that the candidate is not worse than control by the margin or more.

    The null hypothesis is the harm, so reaching 1/alpha certifies non-inferiority. The alternatives
    are powers of the margin; the power 1 is a candidate exactly as good as control.

    Args:
        harm: Whether more or fewer events are worse.
        margin: The relative harm to be ruled out, in (0, 1).
    """
    edge = 1 - margin if harm is Harm.FEWER else 1 + margin
    return EProcess(edge=edge, ratios=tuple(edge**-power for power in CERTIFICATE_POWERS))


def either(margin: float) -> EProcess:
    """Bets that the candidate has more events than control by over a margin, or fewer: their average.

    Each of the two bets is a nonnegative supermartingale while the relative risk is in
    ``[1 - margin, 1 + margin]``, and so is the average; it reaches 1/alpha with probability at most alpha.

    Args:
        margin: The relative difference that is tolerated either way, in [0, 1).
    """
    more, fewer = harm(Harm.MORE, margin), harm(Harm.FEWER, margin)
    return EProcess(
        edge=1.0,
        ratios=(*more.ratios, *fewer.ratios),
        edges=(more.edge,) * len(more.ratios) + (fewer.edge,) * len(fewer.ratios),
    )


def mismatch() -> EProcess:
    """Bets that units do not reach the arms in the stated shares (sample-ratio mismatch).

    An event is a unit's first answer; the odds of being the candidate's are stated exactly, so both
    directions are bet on. With alpha 0.001 a share of 10.5, 11, 12 or 15 % instead of 10 % is found
    after about 71,000, 16,000, 4,200 or 750 units on average.
    """
    return EProcess(edge=1.0, ratios=(*(1 / odds for odds in SPLIT_ODDS), *SPLIT_ODDS))


def _telling(events: Sequence[tuple[bool, float]]) -> list[int]:
    """Which events say something about the candidate against control: neither arm had everybody."""
    return [at for at, event in enumerate(events) if 0.0 < event[1] < 1.0]


def _log_mean(log_payoffs: FloatArray) -> FloatArray:
    """``log(mean(exp(x)))`` of each row, without overflow."""
    most = log_payoffs.max(axis=1, initial=-inf)
    mean = np.exp(log_payoffs - most[:, None]).mean(axis=1)
    return np.asarray(most + np.log(mean))
