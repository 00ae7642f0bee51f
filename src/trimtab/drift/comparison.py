"""window -> compare: every feature of a window against the reference profile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from trimtab.drift.correlation import PairChange, correlated, largest_change
from trimtab.drift.dispersion import Dispersion
from trimtab.drift.noise import effective_size
from trimtab.drift.profile import (
    CORRELATION,
    STATISTICS,
    FeatureProfile,
    ReferenceProfile,
)
from trimtab.drift.words import describe
from trimtab.protocols import DriftStatistic
from trimtab.sketch import Sketch, TableSketch
from trimtab.types import Array, Columns, Comparison, FloatArray, Window

DATA_DRIFT = "data_drift"
PREDICTION_DRIFT = "prediction_drift"

_LEVEL = 0.05
_CORRELATION_FLOOR = 0.05
PAIR_ROWS = 20_000
WITHHELD = "withheld from the journal"
"""What is said of a feature none of whose values are in a window that has rows."""


@dataclass(frozen=True, slots=True)
class FeatureComparer:
    """Compares the features of a window, one comparison each, and their correlations, one in all.

    Implements :class:`trimtab.protocols.Comparer` for windows of ``profile.feature_sketcher()``.

    Args:
        profile: The reference.
        statistics: What each feature is compared by; see :func:`compare_feature`.
    """

    profile: ReferenceProfile
    statistics: Sequence[DriftStatistic] = STATISTICS

    def compare(self, window: Window) -> Sequence[Comparison]:
        """One comparison a feature, in the signature's order, then ``correlation``."""
        table: TableSketch = window.content
        slot = slot_of(self.profile, window)
        found = [
            compare_feature(profile, current, self.statistics, slot)
            if current.rows or not table.rows
            else _nothing(profile, WITHHELD)
            for profile, current in zip(self.profile.features, table.features, strict=True)
        ]
        pairs = self._compare_pairs(table, slot)
        return [*found, pairs] if pairs is not None else found

    def _compare_pairs(self, table: TableSketch, slot: int | None) -> Comparison | None:
        pairs = self.profile.pairs
        if pairs is None or table.pairs is None:
            return None
        change = largest_change(pairs.reference, correlated(table.pairs), pairs.variances)
        if change is None:
            return None
        first, second = (
            self.profile.features[pairs.positions[at]].feature.name for at in change.pair
        )
        comparison = Comparison(
            name=CORRELATION,
            statistic=CORRELATION,
            score=change.score,
            noise_floor=_correlation_noise(pairs.variances[change.pair], change),
            floor=_CORRELATION_FLOOR,
            p_value=change.p_value,
            words=f"{first} and {second}: {change.before:.2f} → {change.now:.2f}",
            reference_value=change.before,
            current_value=change.now,
        )
        return _calibrated(comparison, pairs.dispersion, change.size, slot)


@dataclass(frozen=True, slots=True)
class ScoreComparer:
    """Compares the model's scores with those it gave on the reference.

    Implements :class:`trimtab.protocols.Comparer` for windows of ``profile.score_sketcher()``.
    """

    profile: ReferenceProfile
    statistics: Sequence[DriftStatistic] = STATISTICS

    def compare(self, window: Window) -> Sequence[Comparison]:
        """One comparison, named ``score``; none if the profile or the window has no scores."""
        table: TableSketch = window.content
        if self.profile.score is None or table.score is None:
            return []
        slot = slot_of(self.profile, window)
        return [compare_feature(self.profile.score, table.score, self.statistics, slot)]


def slot_of(profile: ReferenceProfile, window: Window) -> int | None:
    """The window's place in the reference's season, if it has one."""
    return profile.season.slot(window.start, window.end) if profile.season else None


def compare_feature(
    profile: FeatureProfile,
    current: Sketch,
    statistics: Sequence[DriftStatistic] = STATISTICS,
    slot: int | None = None,
) -> Comparison:
    """The one comparison that stands for a feature.

    Each statistic gets the larger of its asymptotic p-value and the one calibrated on the reference's
    time blocks. Of the statistics whose score is at least their floor, the smallest p-value counts,
    times the number of statistics (Bonferroni); the score is that of the statistic furthest above its
    noise floor among those that are significant.
    """
    size = effective_size(profile.sketch.rows, current.rows)
    found = [
        _calibrated(comparison, profile.dispersion.get(comparison.statistic), size, slot)
        for statistic in statistics
        if (comparison := statistic.score(profile.sketch, current)) is not None
    ]
    if not found:
        return _nothing(profile)
    tested = [c for c in found if c.p_value is not None]
    candidates = [c for c in tested if c.score >= c.floor] or tested or found
    p_values = [min(1.0, len(tested) * c.p_value) for c in candidates if c.p_value is not None]
    least = min(p_values, default=None)
    significant = [c for c, p in zip(candidates, p_values, strict=False) if p <= _LEVEL]
    chosen = max(significant or candidates, key=lambda c: c.score - c.noise_floor)
    said = sorted(significant, key=lambda c: c.noise_floor - c.score) or [chosen]
    words = dict.fromkeys(describe(profile, c, current) for c in said)
    return replace(
        chosen,
        name=profile.feature.name,
        p_value=least,
        words="; ".join(words),
        importance=profile.importance,
    )


def window_of(
    profile: ReferenceProfile,
    columns: Columns,
    scores: FloatArray | None = None,
    *,
    subject: str = DATA_DRIFT,
    model: str = "",
    version: int = 0,
    start: float = 0.0,
    end: float = 0.0,
) -> Window:
    """Rows at hand as one window, ready to be compared; no server, no journal.

    Above 20,000 rows, correlations are taken from evenly spaced rows.

    Args:
        profile: The reference.
        columns: The rows, with the reference's features in its order.
        scores: The model's scores, for ``subject="prediction_drift"``.
        subject: ``data_drift`` or ``prediction_drift``.
        model: A name for the verdict.
        version: A version for the verdict.
        start: Event time of the first row.
        end: Event time after the last row.
    """
    step = max(1, -(-columns.rows // PAIR_ROWS))
    if subject == PREDICTION_DRIFT:
        content = profile.score_sketcher().sketch((), scores)
    else:
        arrays: Sequence[Array] = columns.arrays
        content = profile.feature_sketcher().sketch(arrays, pair_step=step)
    return Window(
        subject=subject,
        model=model,
        version=version,
        start=start,
        end=end,
        rows=content.rows,
        content=content,
    )


def _calibrated(
    comparison: Comparison, dispersion: Dispersion | None, size: float, slot: int | None
) -> Comparison:
    """With the larger of the asymptotic noise and that of the reference's time blocks."""
    if dispersion is None or comparison.p_value is None:
        return comparison
    return replace(
        comparison,
        p_value=max(comparison.p_value, dispersion.p_value(comparison.score, size, slot)),
        noise_floor=max(comparison.noise_floor, dispersion.usual_score(slot)),
    )


def _correlation_noise(variance: float, change: PairChange) -> float:
    """Half the largest of so many correlation changes without drift: ``sd · √(2 ln 2k) / 2``."""
    deviation = math.sqrt(variance / change.size)
    return min(1.0, deviation * math.sqrt(2 * math.log(2 * change.pairs)) / 2)


def _nothing(profile: FeatureProfile, why: str = "nothing to compare") -> Comparison:
    return Comparison(
        name=profile.feature.name,
        statistic="none",
        score=0.0,
        noise_floor=0.0,
        floor=0.0,
        p_value=None,
        words=why,
        importance=profile.importance,
    )
