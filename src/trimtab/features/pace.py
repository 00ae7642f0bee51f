"""How long a store usually takes: when a second read is worth it, and how many there may be."""

from __future__ import annotations

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

    __slots__ = ("_at", "_earned", "_quantile", "_ratio", "_taken", "after_seconds")

    def __init__(self, config: FeaturesConfig) -> None:
        self._quantile = config.hedge_quantile
        self._ratio = config.hedge_ratio
        self._taken: list[float] = []
        self._at = 0
        self._earned = 0.0
        self.after_seconds: float | None = None

    def read(self, seconds: float) -> None:
        """A read came back after so long."""
        if self._ratio == 0.0:
            return
        taken, at = self._taken, self._at
        if len(taken) < _SAMPLES:
            taken.append(seconds)
        else:
            taken[at % _SAMPLES] = seconds
        self._at = at + 1
        self._earned = min(_MOST_SAVED, self._earned + self._ratio)
        if self._at % _REFRESH == 0 and len(taken) >= _LEAST_SAMPLES:
            place = min(len(taken) - 1, int(self._quantile * len(taken)))
            self.after_seconds = max(_LEAST_SECONDS, sorted(taken)[place])

    def spend(self) -> bool:
        """Whether a hedge may start now; it is paid for if so."""
        if self._earned < 1.0:
            return False
        self._earned -= 1.0
        return True
