"""What is remembered of the reference: all that a window is compared with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

import msgspec
import numpy as np
from scipy.special import stdtr

from trimtab.drift.constant import ConstantChanged
from trimtab.drift.correlation import largest_change, pair_variances
from trimtab.drift.ks import KolmogorovSmirnov
from trimtab.drift.missing_rate import MissingRate
from trimtab.drift.new_category import NewCategory
from trimtab.drift.noise import effective_size
from trimtab.drift.total_variation import TotalVariation
from trimtab.errors import InvalidInput
from trimtab.protocols import DriftStatistic
from trimtab.sketch import (
    Binning,
    IntArray,
    Sketch,
    Sketcher,
    TableSketch,
    fit,
    from_bytes,
    merge,
    sketch,
    subtract,
    to_bytes,
)
from trimtab.types import (
    Array,
    Columns,
    FeatureKind,
    FeatureSpec,
    FloatArray,
    Record,
)

FORMAT = 1
STATISTICS: tuple[DriftStatistic, ...] = (
    KolmogorovSmirnov(),
    TotalVariation(),
    MissingRate(),
    NewCategory(),
    ConstantChanged(),
)
CORRELATION = "correlation"

_LEAST_BLOCKS = 20
_MOST_BLOCKS = 120
_LEAST_SPREAD = 0.05
_MOST_PAIRED = 64
_PAIR_ROWS = 100_000


class Dispersion(Record, frozen=True):
    """How far one time block of the reference is from all its other blocks, by one statistic.

    ``mean_logit`` and ``sd_logit`` are of the scores' logits ``ln(s / (1 - s))`` over ``blocks``
    blocks, ``expected`` is the mean of the scores themselves; one block and the rest have the
    effective size ``size``. A score is at most 1: where blocks differ much anyway, the logarithm
    would leave a window that has nothing in common with the reference no room to stand out.
    """

    mean_logit: float
    sd_logit: float
    expected: float
    blocks: int
    size: float

    def p_value(self, score: float, size: float) -> float:
        """P(a block of the reference scores at least this), by a t tail on the logit.

        A window smaller than a block has more noise, and its score is shrunk by ``√(size ratio)``; a
        larger one is not given credit for its size, since what differs between blocks may not be
        noise.

        Args:
            score: The window's score.
            size: Its effective size.
        """
        if score <= 0:
            return 1.0
        shrunk = score * math.sqrt(min(1.0, size / self.size))
        spread = max(self.sd_logit, _LEAST_SPREAD) * math.sqrt(1 + 1 / self.blocks)
        above = (_logits(shrunk, self.size).item() - self.mean_logit) / spread
        return float(stdtr(self.blocks - 1, -above))


class FeatureProfile(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One feature of the reference; ``dispersion`` is by statistic, empty without enough blocks."""

    feature: FeatureSpec
    binning: Binning
    sketch: Sketch
    importance: float = 1.0
    dispersion: dict[str, Dispersion] = {}

    @property
    def missing_rate(self) -> float:
        """The share of rows without a value."""
        return self.sketch.missing / max(self.sketch.rows, 1)


class PairProfile(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The paired features, by position, with the sums of their normal scores in the reference.

    ``variances`` has n times the variance of each correlation, shape ``(p, p)``.
    """

    positions: tuple[int, ...]
    sums: IntArray
    variances: FloatArray
    dispersion: Dispersion | None = None


class ReferenceProfile(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What is remembered of the reference, without its rows.

    ``blocks`` is the number of time blocks, ``block_seconds`` long, that the noise is calibrated on;
    0 if it rests on formulas alone.
    """

    format: int
    rows: int
    features: tuple[FeatureProfile, ...]
    score: FeatureProfile | None = None
    pairs: PairProfile | None = None
    blocks: int = 0
    block_seconds: float = 0.0

    def dump(self) -> bytes:
        """The profile as bytes."""
        return to_bytes(self)

    @classmethod
    def load(cls, blob: bytes) -> ReferenceProfile:
        """The profile that ``dump`` wrote.

        Raises:
            InvalidInput: these are no such bytes, or of a later release.
        """
        try:
            profile = from_bytes(blob, cls)
        except (msgspec.MsgspecError, ValueError, TypeError) as wrong:
            raise InvalidInput(
                f"This is no reference profile: {wrong}.",
                hint="Build the profile again from the reference data.",
                code="invalid_profile",
            ) from wrong
        if profile.format != FORMAT:
            raise InvalidInput(
                f"The reference profile has format {profile.format}, not {FORMAT}.",
                hint="Build the profile again from the reference data.",
                code="invalid_profile",
            )
        return profile

    def feature_sketcher(self) -> Sketcher:
        """Sketches windows of features, for data drift."""
        paired = self.pairs.positions if self.pairs else ()
        return Sketcher(
            tuple(feature.binning for feature in self.features),
            ranks={at: self.features[at].sketch for at in paired},
        )

    def score_sketcher(self) -> Sketcher:
        """Sketches windows of scores, for prediction drift."""
        return Sketcher((), score=self.score.binning if self.score else None)


def build_profile(
    columns: Columns,
    scores: FloatArray | None = None,
    times: FloatArray | None = None,
    *,
    block_seconds: float = 86_400.0,
    importance: Mapping[str, float] | None = None,
) -> ReferenceProfile:
    """Summarise the reference.

    Args:
        columns: Its rows.
        scores: The model's score of each row, shape ``(rows,)``.
        times: Each row's event time, Unix seconds. With 20 blocks or more, the noise is calibrated on
            how far the blocks differ among themselves; a block should be as long as a window.
        block_seconds: How long a block is.
        importance: By feature name; 1 where it is not given.

    Raises:
        InvalidInput: there are no rows, or the arrays differ in length.
    """
    _check(columns, scores, times)
    weights = importance or {}
    specs = [*columns.features]
    arrays: list[Array] = [*columns.arrays]
    if scores is not None:
        specs.append(FeatureSpec(name="score", kind=FeatureKind.NUMERIC))
        arrays.append(scores)
    binnings = [fit(spec.kind, array) for spec, array in zip(specs, arrays, strict=True)]
    sketches = [sketch(b, array) for b, array in zip(binnings, arrays, strict=True)]
    positions = _paired(columns, sketches)
    sketcher = Sketcher(binnings, ranks={at: sketches[at] for at in positions})
    blocks = _blocks(times, block_seconds)
    parts = [sketcher.sketch([array[rows] for array in arrays]) for rows in blocks]
    features = tuple(
        FeatureProfile(
            feature=spec,
            binning=binnings[at],
            sketch=sketches[at],
            importance=float(weights.get(spec.name, 1.0)),
            dispersion=_dispersions([part.features[at] for part in parts]),
        )
        for at, spec in enumerate(specs)
    )
    return ReferenceProfile(
        format=FORMAT,
        rows=columns.rows,
        features=features[: len(columns.features)],
        score=features[-1] if scores is not None else None,
        pairs=_pair_profile(sketcher, arrays, positions, parts),
        blocks=len(parts),
        block_seconds=block_seconds if parts else 0.0,
    )


def _check(columns: Columns, scores: FloatArray | None, times: FloatArray | None) -> None:
    lengths = {len(array) for array in (*columns.arrays, scores, times) if array is not None}
    if len(lengths) != 1 or lengths == {0}:
        found = "no rows" if lengths <= {0} else f"arrays of {sorted(lengths)} rows"
        raise InvalidInput(
            f"A reference needs at least one row; this one has {found}.",
            hint="Give columns, scores and times of the same, non-zero length.",
            code="invalid_reference",
        )


def _paired(columns: Columns, sketches: Sequence[Sketch]) -> tuple[int, ...]:
    """The first 64 numeric features that vary."""
    varying = [
        at
        for at, spec in enumerate(columns.features)
        if spec.kind is not FeatureKind.CATEGORICAL and len(sketches[at].codes) > 1
    ]
    return tuple(varying[:_MOST_PAIRED]) if len(varying) > 1 else ()


def _blocks(times: FloatArray | None, block_seconds: float) -> list[IntArray]:
    """The rows of each time block; none if there are too few blocks of a usual size."""
    if times is None:
        return []
    known = np.flatnonzero(np.isfinite(times))
    ids = np.floor(times[known] / block_seconds)
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order], prepend=-np.inf))
    blocks = np.split(known[order], starts[1:])
    usual = np.median([len(block) for block in blocks]) if blocks else 0
    blocks = [block for block in blocks if len(block) >= usual / 4]
    if len(blocks) < _LEAST_BLOCKS:
        return []
    if len(blocks) > _MOST_BLOCKS:
        chosen = np.linspace(0, len(blocks) - 1, _MOST_BLOCKS).round().astype(int)
        blocks = [blocks[at] for at in chosen]
    return blocks


def _dispersions(parts: Sequence[Sketch]) -> dict[str, Dispersion]:
    """By statistic, over blocks of one feature, each against the sum of the others."""
    if not parts:
        return {}
    whole = reduce(merge, parts)
    rests = [subtract(whole, part) for part in parts]
    sizes = [effective_size(r.rows, p.rows) for r, p in zip(rests, parts, strict=True)]
    found: dict[str, Dispersion] = {}
    for statistic in STATISTICS:
        scores = [statistic.score(r, p) for r, p in zip(rests, parts, strict=True)]
        dispersion = _dispersion([c.score for c in scores if c is not None], sizes)
        if dispersion is not None:
            found[statistic.name] = dispersion
    return found


def _dispersion(scores: Iterable[float], sizes: Sequence[float]) -> Dispersion | None:
    size = float(np.median(sizes))
    found = np.fromiter(scores, np.float64)
    if len(found) < _LEAST_BLOCKS:
        return None
    logits = _logits(found, size)
    return Dispersion(
        mean_logit=float(logits.mean()),
        sd_logit=float(logits.std(ddof=1)),
        expected=float(found.mean()),
        blocks=len(found),
        size=size,
    )


def _logits(scores: FloatArray | float, size: float) -> FloatArray:
    """Logits of scores; 0 and 1 stand for half a row of ``size``."""
    inside = np.clip(np.asarray(scores, dtype=np.float64), 0.5 / size, 1 - 0.5 / size)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)


def _pair_profile(
    sketcher: Sketcher,
    arrays: Sequence[Array],
    positions: tuple[int, ...],
    parts: Sequence[TableSketch],
) -> PairProfile | None:
    if not positions:
        return None
    step = -(-len(arrays[0]) // _PAIR_ROWS)
    table = sketcher.sketch(arrays, pair_step=step)
    if table.pairs is None:
        return None
    variances = pair_variances(*sketcher.normal_scores(arrays, step))
    return PairProfile(
        positions=positions,
        sums=table.pairs,
        variances=variances,
        dispersion=_pair_dispersion([p.pairs for p in parts if p.pairs is not None], variances),
    )


def _pair_dispersion(parts: Sequence[IntArray], variances: FloatArray) -> Dispersion | None:
    if not parts:
        return None
    whole = np.sum(parts, axis=0)
    scores: list[float] = []
    sizes: list[float] = []
    for part in parts:
        change = largest_change(whole - part, part, variances)
        if change is not None:
            scores.append(change.score)
            sizes.append(change.size)
    return _dispersion(scores, sizes) if sizes else None
