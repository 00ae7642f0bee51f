"""How long a store usually takes: when a second read is worth it, and how many there may be."""

from __future__ import annotations

from collections import deque

from trimtab.config import FeaturesConfig

_SAMPLES = 256
_REFRESH = 32
_LEAST_SAMPLES = 64
_MOST_SAVED = 10.0
_LEAST_SECONDS = 0.001


class Pace:
    """The measured latency quantile of one store, and the budget of hedged reads.

    Reads earn ``hedge_ratio`` of a hedge each, at most ten are saved up, and a hedge costs one: so
    the extra load stays below ``hedge_ratio``, whatever the store does.

    Args:
        config: ``hedge_quantile`` and ``hedge_ratio``; a ratio of 0 turns hedging off.

    Source: Dean and Barroso, "The Tail at Scale", Communications of the ACM 56 (2013), section
    "Hedged requests".
    """

    __slots__ = ("_counted", "_earned", "_quantile", "_ratio", "_reads", "_taken", "after_seconds")

    def __init__(self, config: FeaturesConfig) -> None:
        self._quantile = config.hedge_quantile
        self._ratio = config.hedge_ratio
        self._taken: deque[float] = deque(maxlen=_SAMPLES)
        self._reads = 0
        self._counted = 0  # reads whose hedges are saved up already
        self._earned = 0.0
        self.after_seconds: float | None = None

    def read(self, seconds: float) -> None:
        """A read came back after so long."""
        if self._ratio == 0.0:
            return
        self._taken.append(seconds)
        self._reads = reads = self._reads + 1
        if reads % _REFRESH == 0 and reads >= _LEAST_SAMPLES:
            taken = sorted(self._taken)
            place = min(len(taken) - 1, int(self._quantile * len(taken)))
            self.after_seconds = max(_LEAST_SECONDS, taken[place])

    def spend(self) -> bool:
        """Whether a hedge may start now; it is paid for if so."""
        earned = self._earned + self._ratio * (self._reads - self._counted)
        self._earned, self._counted = min(_MOST_SAVED, earned), self._reads
        if self._earned < 1.0:
            return False
        self._earned -= 1.0
        return True
