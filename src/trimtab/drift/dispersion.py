"""How far the reference's own time blocks are from each other: noise that no formula knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
from scipy.special import expit, stdtr

from trimtab.drift.blockwise import block_length, independent
from trimtab.drift.noise import effective_size
from trimtab.protocols import DriftStatistic
from trimtab.sketch import IntArray, Sketch, merge, merge_all, subtract
from trimtab.types import FloatArray, Record

LEAST_BLOCKS = 20
_MOST_BLOCKS = 120
_MOST_SEASONAL_BLOCKS = 720
_LEAST_SPREAD = 0.05
_HOUR, _DAY, _WEEK = 3_600.0, 86_400.0, 604_800.0
_BLOCKS_A_SLOT = 4
_MOST_SLOTS = 168
_GOLDEN = (math.sqrt(5) - 1) / 2
_OFFSET_UNIT = 0.125


class Season(Record, frozen=True):
    """The hours of the day or the week that blocks are told apart by: ``slots`` in ``period_seconds``."""

    period_seconds: float
    slots: int

    def slot(self, start: float, end: float) -> int | None:
        """The slot of a window; None if it is longer than one."""
        if not 0 < end - start <= 1.01 * self.period_seconds / self.slots:
            return None
        middle = (start + end) / 2 % self.period_seconds
        return min(int(middle / self.period_seconds * self.slots), self.slots - 1)


class Dispersion(Record, frozen=True):
    """How far one time block of the reference is from all its other blocks, by one statistic.

    ``mean_logit`` and ``sd_logit`` are of the scores' logits ``ln(s / (1 - s))`` over ``blocks``
    blocks, ``expected`` is the mean of the scores themselves; one block and the rest have the
    effective size ``size``. A score is at most 1: where blocks differ much anyway, the logarithm
    would leave a window that has nothing in common with the reference no room to stand out.

    ``independent`` is how many independent blocks would say as much of the mean, and ``freedom`` of the
    spread; 0 stands for all.

    ``offsets`` are what the slots of the season add to ``mean_logit``, empty where they add nothing;
    ``sd_within`` is what blocks of one slot still differ by.
    """

    mean_logit: float
    sd_logit: float
    expected: float
    blocks: int
    size: float
    offsets: tuple[float, ...] = ()
    sd_within: float = 0.0
    independent: float = 0.0
    freedom: float = 0.0

    def p_value(self, score: float, size: float, slot: int | None = None) -> float:
        """P(a block of the reference scores at least this), by a t tail on the logit.

        A window smaller than a block has more noise, and its score is shrunk by ``√(size ratio)``; a
        larger one is not given credit for its size, since what differs between blocks may not be
        noise. With a season, the blocks are those of the window's own slot.

        Args:
            score: The window's score.
            size: Its effective size.
            slot: Its place in the season, if there is one.
        """
        if score <= 0:
            return 1.0
        shrunk = score * math.sqrt(min(1.0, size / self.size))
        mean, spread, like_it, freedom = self._usual(slot)
        spread = max(spread, _LEAST_SPREAD) * math.sqrt(1 + 1 / like_it)
        above = (_logits(shrunk, self.size).item() - mean) / spread
        return float(stdtr(freedom, -above))

    def usual_score(self, slot: int | None = None) -> float:
        """The score of an undrifted block."""
        if slot is None or not self.offsets:
            return self.expected
        return float(expit(self.mean_logit + self.offsets[slot]))

    def _usual(self, slot: int | None) -> tuple[float, float, float, float]:
        like_it, freedom = self.independent or self.blocks, self.freedom or self.blocks
        if slot is None or not self.offsets:
            return self.mean_logit, self.sd_logit, like_it, freedom - 1
        slots = len(self.offsets)
        mean = self.mean_logit + self.offsets[slot]
        left = max(1.0, freedom * (self.blocks - slots) / self.blocks)
        return mean, self.sd_within, like_it / slots, left


class Blocks(Record, frozen=True):
    """The reference's rows, time block by time block; ``slots`` has each block's place in the season.

    ``apart`` is how many blocks before and after one are too near to be compared with it.
    """

    rows: tuple[IntArray, ...] = ()
    slots: tuple[int, ...] = ()
    season: Season | None = None
    apart: int = 0


def blocks_of(times: FloatArray | None, block_seconds: float) -> Blocks:
    """The rows of each time block; none if there are fewer than 20 of a usual size.

    At most 120 are used, 720 where the reference is long enough (four blocks a slot) to tell the
    hours of the week or of the day apart.
    """
    if times is None:
        return Blocks()
    known = np.flatnonzero(np.isfinite(times))
    ids = np.floor(times[known] / block_seconds)
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order], prepend=-np.inf))
    rows = np.split(known[order], starts[1:])
    usual = np.median([len(block) for block in rows]) if rows else 0
    rows = [block for block in rows if len(block) >= usual / 4]
    if len(rows) < LEAST_BLOCKS:
        return Blocks()
    season = _season(len(rows), block_seconds)
    rows = _spread(rows, _MOST_SEASONAL_BLOCKS if season else _MOST_BLOCKS)
    begins = [float(times[block[0]] // block_seconds) * block_seconds for block in rows]
    slots = [season.slot(t, t + block_seconds) or 0 for t in begins] if season else []
    return Blocks(rows=tuple(rows), slots=tuple(slots), season=season)


def dispersions(
    parts: Sequence[Sketch], statistics: Sequence[DriftStatistic], blocks: Blocks
) -> dict[str, Dispersion]:
    """By statistic, over blocks of one feature, each against the sum of the others.

    Left out with a block are those before and after it that ``blocks.apart`` tells of: what is near in
    time is alike, and a window will be further away.

    Source:
        Burman, Chow and Nolan, 1994, Biometrika 81 (leaving neighbours out, too).
    """
    if not parts:
        return {}
    whole = reduce(merge, parts)
    rests = [subtract(whole, near) for near in neighbourhoods(parts, blocks.apart)]
    sizes = [effective_size(r.rows, p.rows) for r, p in zip(rests, parts, strict=True)]
    found: dict[str, Dispersion] = {}
    for statistic in statistics:
        scores = [statistic.score(r, p) for r, p in zip(rests, parts, strict=True)]
        dispersion = dispersion_of([None if c is None else c.score for c in scores], sizes, blocks)
        if dispersion is not None:
            found[statistic.name] = dispersion
    return found


def memory_of(
    features: Sequence[Sequence[Sketch]], statistics: Sequence[DriftStatistic], blocks: Blocks
) -> int:
    """Over how many blocks the longest memory of a feature's scores reaches; 0 if there is none.

    At most a quarter of the blocks, so that half of them are left to compare with.
    """
    longest = 1
    for parts in features:
        whole = reduce(merge, parts)
        rests = [subtract(whole, part) for part in parts]
        sizes = [effective_size(r.rows, p.rows) for r, p in zip(rests, parts, strict=True)]
        for statistic in statistics:
            scores = [statistic.score(r, p) for r, p in zip(rests, parts, strict=True)]
            known = [None if c is None else c.score for c in scores]
            at = [i for i, score in enumerate(known) if score is not None]
            if len(at) >= LEAST_BLOCKS:
                logits, slots = _series(known, at, float(np.median(sizes)), blocks)
                offsets, _ = _offsets(logits, slots, blocks.season)
                longest = max(longest, block_length(_without(logits, slots, offsets)))
    return min(longest - 1, len(blocks.rows) // 4)


def neighbourhoods(parts: Sequence[Sketch], apart: int) -> list[Sketch]:
    """Each block merged with so many blocks before and after it."""
    if not apart:
        return list(parts)
    sums = [merge_all(parts[: apart + 1])]
    for at in range(1, len(parts)):
        near = sums[-1]
        if at + apart < len(parts):
            near = merge(near, parts[at + apart])
        if at - apart > 0:
            near = subtract(near, parts[at - apart - 1])
        sums.append(near)
    return sums


def neighbouring(sums: Sequence[IntArray], apart: int) -> list[IntArray]:
    """As ``neighbourhoods``, of sums for correlations."""
    return [np.sum(sums[max(0, at - apart) : at + apart + 1], axis=0) for at in range(len(sums))]


def dispersion_of(
    scores: Sequence[float | None], sizes: Sequence[float], blocks: Blocks
) -> Dispersion | None:
    """The dispersion of the blocks' scores; None where fewer than 20 blocks have one."""
    at = [i for i, score in enumerate(scores) if score is not None]
    if len(at) < LEAST_BLOCKS:
        return None
    size = float(np.median(sizes))
    found = np.array([scores[i] for i in at], dtype=np.float64)
    logits, slots = _series(scores, at, size, blocks)
    offsets, within = _offsets(logits, slots, blocks.season)
    rest = _without(logits, slots, offsets)
    length = block_length(rest)
    worth = independent(rest, length)
    apart = np.square(rest - rest.mean())
    freedom = independent(apart, block_length(apart))
    return Dispersion(
        mean_logit=_short(logits.mean()),
        sd_logit=_short(math.hypot(logits.std(), rest.std() / math.sqrt(max(worth - 1, 1)))),
        expected=_short(found.mean()),
        blocks=len(found),
        size=_short(size),
        offsets=offsets,
        sd_within=_short(within),
        independent=_short(worth) if worth < len(found) else 0.0,
        freedom=_short(freedom) if freedom < len(found) else 0.0,
    )


def _series(
    scores: Sequence[float | None], at: Sequence[int], size: float, blocks: Blocks
) -> tuple[FloatArray, IntArray | None]:
    """The logits of the scores that there are, and their slots."""
    logits = _logits(np.array([scores[i] for i in at], dtype=np.float64), size)
    return logits, np.array([blocks.slots[i] for i in at]) if blocks.season else None


def _without(logits: FloatArray, slots: IntArray | None, offsets: tuple[float, ...]) -> FloatArray:
    """Logits without what their slots add."""
    return logits - np.array(offsets)[slots] if slots is not None and offsets else logits


def _season(blocks: int, block_seconds: float) -> Season | None:
    """The finest season of which the reference has seen enough rounds."""
    slot_seconds = max(block_seconds, _HOUR)
    for period in (_WEEK, _DAY):
        slots = round(period / slot_seconds)
        fits = abs(slots * slot_seconds - period) < 1.0 and 2 <= slots <= _MOST_SLOTS
        if fits and blocks >= _BLOCKS_A_SLOT * slots * slot_seconds / block_seconds:
            return Season(period_seconds=period, slots=slots)
    return None


def _offsets(
    logits: FloatArray, slots: IntArray | None, season: Season | None
) -> tuple[tuple[float, ...], float]:
    """What each slot adds to the mean logit, shrunk by its own noise; and the spread within slots."""
    if slots is None or season is None:
        return (), 0.0
    counts = np.bincount(slots, minlength=season.slots)
    means = np.bincount(slots, logits, season.slots) / np.maximum(counts, 1)
    residuals = logits - means[slots]
    freedom = len(logits) - int((counts > 0).sum())
    if freedom < LEAST_BLOCKS:
        return (), 0.0
    within = math.sqrt(float(np.square(residuals).sum()) / freedom)
    raw = np.where(counts > 0, means - logits.mean(), 0.0)
    noise = within**2 / np.maximum(counts, 1)
    kept = np.where(np.square(raw) > 9 * noise, 1 - noise / np.maximum(np.square(raw), 1e-12), 0.0)
    offsets = np.rint(raw * kept / _OFFSET_UNIT) * _OFFSET_UNIT
    if not offsets.any():
        return (), 0.0
    rest = logits - logits.mean() - offsets[slots]
    return tuple(offsets.tolist()), math.sqrt(float(np.square(rest).sum()) / freedom)


def _spread(rows: Sequence[IntArray], most: int) -> list[IntArray]:
    """At most so many of the blocks, spread evenly and in step with no season."""
    if len(rows) <= most:
        return list(rows)
    chosen = np.floor(np.arange(1, most + 1) * _GOLDEN % 1 * len(rows)).astype(int)
    return [rows[at] for at in np.unique(chosen)]


def _logits(scores: FloatArray | float, size: float) -> FloatArray:
    """Logits of scores; 0 and 1 stand for half a row of ``size``."""
    inside = np.clip(np.asarray(scores, dtype=np.float64), 0.5 / size, 1 - 0.5 / size)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)


def _short(value: float) -> float:
    """The number in the precision of four bytes, which three figures do not miss."""
    return float(np.float32(value))
