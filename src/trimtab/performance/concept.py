"""Concept drift: whether outcomes still follow from predictions as they did on held-out rows.

Each outcome is set against what the held-out rows lead one to expect of that very prediction. So a change
of the inputs alone is no concept drift, and what is found here is what estimates of performance cannot see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from trimtab.config import WatchConfig
from trimtab.performance.bins import errors_at
from trimtab.performance.estimated.calibration import Calibration
from trimtab.performance.heldout import HeldOut, blocks
from trimtab.performance.tally import Counted, class_counts
from trimtab.types import (
    Array,
    Comparison,
    FloatArray,
    Record,
    Signature,
    State,
    Task,
    Verdict,
    Window,
)

SUBJECT = "concept_drift"
LEVEL = 3.1
BETS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
QUIET_WINDOWS = 2
_LARGE_SHARE = 0.1
_LEAST_TOLERANCE = 0.005
_MOST_LOG = 27.6
_MIN_BLOCKS = 8
_WORDS = {
    Task.BINARY: "squared error",
    Task.MULTICLASS: "share of wrong decisions",
    Task.REGRESSION: "share of large errors",
}


class Excess(Record, frozen=True):
    """The held-out loss beyond what was expected of each row.

    ``mean`` with its standard error ``se``, and the standard deviation ``between`` windows beyond chance.
    ``large`` is the absolute error that a tenth of held-out rows exceed, for a regression.
    """

    mean: float = 0.0
    se: float = 0.0
    between: float = 0.0
    large: float = 0.0

    @property
    def tolerance(self) -> float:
        """The excess that is no evidence: 3.1 standard errors, two of windows, at least 0.005.

        The held-out rows are a sample: what they say is too low by more than that once in a thousand.
        """
        return max(self.mean, 0.0) + LEVEL * self.se + 2.0 * self.between + _LEAST_TOLERANCE


def held_out_excess(heldout: HeldOut, shares: FloatArray | None, signature: Signature) -> Excess:
    """Measure the excess on held-out rows.

    Args:
        heldout: The rows.
        shares: What each score meant to the other rows: shape ``(rows, classes)``, one column for a binary
            model; None for a regression.
        signature: Its task.
    """
    large = 0.0
    if signature.task is Task.REGRESSION or shares is None:
        errors = np.abs(heldout.scores - heldout.outcomes)
        large = float(np.quantile(errors, 1.0 - _LARGE_SHARE))
        excess = np.asarray(errors > large, dtype=np.float64) - _LARGE_SHARE
    elif signature.task is Task.BINARY:
        share, hit = shares[:, 0], (heldout.outcomes > 0).astype(np.float64)
        excess = (hit - share) ** 2 - share * (1.0 - share)
    else:
        called = np.argmax(heldout.scores, axis=1)
        wrong = (called != heldout.outcomes).astype(np.float64)
        excess = wrong - (1.0 - shares[np.arange(len(called)), called])
    se = float(excess.std()) / math.sqrt(len(excess))
    return Excess(mean=float(excess.mean()), se=se, between=_between(excess, heldout), large=large)


def _between(excess: Array, heldout: HeldOut) -> float:
    if heldout.event_times is None:
        return 0.0
    parts = [excess[p] for p in blocks(np.floor(heldout.event_times / heldout.window_seconds))]
    if len(parts) < _MIN_BLOCKS:
        return 0.0
    chance = float(np.mean([part.var() / len(part) for part in parts]))
    return math.sqrt(max(0.0, float(np.var([part.mean() for part in parts], ddof=1)) - chance))


class ConceptComparer:
    """The evidence of one window that losses exceed what was expected.

    With z the loss of a row less what is expected of it, and c the tolerance, each bet b in a fixed grid
    wins ``1 + b (z - c) / (1 + c)``. The product over the rows of a window is an e-value of the claim that
    E[z | all before] <= c, whatever else their distribution; so is the mean over bets. The p-value is
    1 / e, at most 1.

    Args:
        excess: What held-out rows showed.
        calibrations: What scores mean, one a class; none for a regression.

    Source: Waudby-Smith & Ramdas (2024), JRSS B 86, for betting on bounded means; Podkopaev & Ramdas
    (2022), ICLR, for monitoring a model's risk so. tests/property/test_concept_drift.py measures both rates.
    """

    def __init__(self, excess: Excess, calibrations: Sequence[Calibration] = ()) -> None:
        self._excess = excess
        self._calibrations = tuple(calibrations)

    def compare(self, window: Window) -> Sequence[Comparison]:
        """One comparison, or none without outcomes."""
        counted: Counted = window.content
        if not any(counted.tables) or (counted.partial and counted.selected()):
            return []
        excess, rows = self._cells(counted)
        total = float(rows.sum())
        mean = float(rows @ excess) / total
        spread = float(rows @ (excess - mean) ** 2) / total
        half = 1.96 * math.sqrt(spread / total + self._excess.se**2)
        tolerance = self._excess.tolerance
        log_e = log_evidence(excess, rows, tolerance)
        harm = min(1.0, max(0.0, mean - max(self._excess.mean, 0.0)))
        return [
            Comparison(
                name="excess_loss",
                statistic="betting_log_e",
                score=harm,
                noise_floor=math.sqrt((spread / total + self._excess.se**2) / (2.0 * math.pi)),
                floor=tolerance,
                p_value=math.exp(-max(0.0, log_e)),
                words=(
                    f"{_WORDS[counted.task]} {mean:+.3g} beyond what the predictions lead one to "
                    f"expect ({mean - half:+.3g} to {mean + half:+.3g}; up to {tolerance:.2g} is no "
                    f"evidence; {counted.outcomes:,} of {counted.predictions:,} outcomes known)"
                ),
                reference_value=self._excess.mean,
                current_value=mean,
                e_value=math.exp(min(log_e, _MOST_LOG)),
                interval=(mean - half, mean + half),
            )
        ]

    def _cells(self, counted: Counted) -> tuple[FloatArray, FloatArray]:
        """The excess of each kind of row, and how many there are."""
        if counted.task is Task.REGRESSION:
            places = np.array(sorted(counted.tables[0]), dtype=np.int64)
            rows = np.array([counted.tables[0][int(p)][1] for p in places], dtype=np.float64)
            large = np.asarray(np.abs(errors_at(places)) > self._excess.large, dtype=np.float64)
            return large - _LARGE_SHARE, rows
        classes = class_counts(counted.tables)
        if len(classes) == 1:
            (one,) = classes
            share = self._calibrations[0](one.scores)
            expected = share * (1.0 - share)
            excess = np.concatenate([share**2 - expected, (1.0 - share) ** 2 - expected])
            return excess, np.concatenate([one.counts[:, 0], one.counts[:, 1]])
        found, rows_found = [], []
        for place, (one, calibration) in enumerate(zip(classes, self._calibrations, strict=True)):
            own = one.decisions == place
            share = calibration(one.scores[own])
            found += [share, share - 1.0]
            rows_found += [one.counts[own, 0], one.counts[own, 1]]
        return np.concatenate(found), np.concatenate(rows_found)


def log_evidence(excess: FloatArray, rows: FloatArray, tolerance: float) -> float:
    """The logarithm of a window's e-value: the mean over bets of the product over its rows."""
    gain = (excess - tolerance) / (1.0 + tolerance)
    logs = np.array([float(rows @ np.log1p(bet * gain)) for bet in BETS])
    return float(np.logaddexp.reduce(logs)) - math.log(len(BETS))


class _Memory(msgspec.Struct, frozen=True, kw_only=True):
    evidence: float = 0.0
    since: float | None = None
    alarmed: bool = False
    quiet: int = 0


class ConceptJudge:
    """Adds up the evidence of windows: ``M <- (M + 1) e``, an alarm at ``run_length_windows``.

    Without concept drift there is one false alarm in so many windows at most, on average, for windows that
    depend on each other too. An excursion begins when a window's own evidence reaches 20 or an alarm is
    raised, and ends after two windows in a row with an e-value below 1; then the evidence starts again.

    Args:
        config: ``min_rows`` and ``run_length_windows``.

    Source: Shin, Ramdas & Rinaldo (2023), NEJSDS 2.
    """

    def __init__(self, config: WatchConfig) -> None:
        self._config = config
        self._memory = _Memory()

    def judge(self, window: Window, comparisons: Sequence[Comparison]) -> Verdict:
        """The state after this window, with its words."""
        enough = bool(comparisons) and window.rows >= self._config.min_rows
        if enough:
            self._memory = self._next(window, comparisons[0].e_value or 1.0)
        memory = self._memory
        state = State.NOT_ENOUGH_DATA
        if enough and memory.alarmed:
            state = State.DRIFTED
        elif enough:
            state = State.STEADY if memory.since is None else State.WATCH
        flagged = state in (State.WATCH, State.DRIFTED) and (comparisons[0].e_value or 0.0) >= 1.0
        return Verdict(
            subject=SUBJECT,
            model=window.model,
            version=window.version,
            start=window.start,
            end=window.end,
            rows=window.rows,
            state=state,
            score=comparisons[0].score if enough else 0.0,
            evidence=memory.evidence,
            alarm_at=self._config.run_length_windows,
            alarmed=memory.alarmed,
            since=memory.since,
            comparisons=tuple(comparisons),
            flagged=("excess_loss",) if flagged else (),
            words=self._words(window, comparisons, state),
        )

    def dump(self) -> bytes:
        """What is remembered of earlier windows."""
        return msgspec.msgpack.encode(self._memory)

    def load(self, blob: bytes) -> None:
        """Take up where ``dump`` left off."""
        self._memory = msgspec.msgpack.decode(blob, type=_Memory)

    def _next(self, window: Window, e_value: float) -> _Memory:
        old = self._memory
        evidence = min(math.exp(_MOST_LOG), (old.evidence + 1.0) * e_value)
        alarmed = old.alarmed or evidence >= self._config.run_length_windows
        quiet = old.quiet + 1 if e_value < 1.0 else 0
        if quiet >= QUIET_WINDOWS and old.since is not None:
            return _Memory()
        moved = alarmed or e_value >= 20.0 or old.since is not None
        since = old.since if old.since is not None or not moved else window.start
        return _Memory(evidence=evidence, since=since, alarmed=alarmed, quiet=quiet)

    def _words(self, window: Window, comparisons: Sequence[Comparison], state: State) -> str:
        if state is State.NOT_ENOUGH_DATA:
            return f"Not enough data: {window.rows} rows, {self._config.min_rows} are needed."
        said = comparisons[0].words
        if state is State.STEADY:
            return "Outcomes follow from the predictions as they did on held-out rows."
        return (
            f"Outcomes no longer follow from the predictions as they did on held-out rows: {said}."
        )
