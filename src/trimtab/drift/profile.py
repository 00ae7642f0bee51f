"""What is remembered of the reference: all that a window is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec.structs import replace

from trimtab.drift.constant import ConstantChanged
from trimtab.drift.correlation import Correlated, correlated, largest_change, pair_variances
from trimtab.drift.dispersion import (
    Blocks,
    Dispersion,
    Season,
    blocks_of,
    dispersion_of,
    dispersions,
    memory_of,
    neighbouring,
)
from trimtab.drift.ks import KolmogorovSmirnov
from trimtab.drift.missing_rate import MissingRate
from trimtab.drift.new_category import NewCategory
from trimtab.drift.packing import (
    Packed,
    from_triangle,
    pack,
    squeezed,
    triangle,
    unpack,
    unsqueezed,
)
from trimtab.drift.repeats import repeated_in
from trimtab.drift.rounding import rounded
from trimtab.drift.total_variation import TotalVariation
from trimtab.drift.usual import Usual, usual_of
from trimtab.errors import InvalidInput
from trimtab.protocols import DriftStatistic
from trimtab.sketch import (
    Binning,
    Coded,
    Column,
    IntArray,
    RepeatedRows,
    Sketch,
    Sketcher,
    TableSketch,
    fit,
    sketch,
    to_bytes,
)
from trimtab.types import (
    Array,
    Columns,
    FeatureKind,
    FeatureSpec,
    FloatArray,
)

FORMAT = 2
STATISTICS: tuple[DriftStatistic, ...] = (
    KolmogorovSmirnov(),
    TotalVariation(),
    MissingRate(),
    NewCategory(),
    ConstantChanged(),
)
CORRELATION = "correlation"

_MOST_PAIRED = 64
_PAIR_ROWS = 100_000
_NOISE_ROWS = 20_000
_CORRELATION_UNIT = 1 / 256
_VARIANCE_UNIT = 1 / 8


class FeatureProfile(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One feature of the reference.

    ``dispersion`` is by statistic; it is empty, and there is no ``usual`` course, without enough blocks. The distribution function of a number is rounded by at most .002, see
    :func:`trimtab.drift.rounding.rounded`; all else is exact.
    """

    feature: FeatureSpec
    binning: Binning
    sketch: Sketch
    importance: float = 1.0
    dispersion: dict[str, Dispersion] = {}
    usual: Usual | None = None

    @property
    def missing_rate(self) -> float:
        """The share of rows without a value."""
        return self.sketch.missing / max(self.sketch.rows, 1)


class PairProfile(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The paired features, by position, with their correlations in the reference.

    ``variances`` has n times the variance of each correlation, shape ``(p, p)``.
    """

    positions: tuple[int, ...]
    reference: Correlated
    variances: FloatArray
    dispersion: Dispersion | None = None


class _Feature(msgspec.Struct, frozen=True, array_like=True):
    packed: Packed
    importance: float
    dispersion: dict[str, Dispersion]
    usual: Usual | None = None


class _Pairs(msgspec.Struct, frozen=True, array_like=True):
    positions: tuple[int, ...]
    values: bytes
    rows: bytes
    variances: bytes
    dispersion: Dispersion | None


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    format: int
    rows: int
    features: tuple[_Feature, ...]
    score: _Feature | None
    pairs: _Pairs | None
    blocks: int
    block_seconds: float
    season: Season | None
    repeated: RepeatedRows | None = None


class _Header(msgspec.Struct, frozen=True, array_like=True):
    format: int


class ReferenceProfile(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What is remembered of the reference, without its rows.

    ``blocks`` is the number of time blocks, ``block_seconds`` long, that the noise is calibrated on;
    0 if it rests on formulas alone. ``season`` tells the hours of the day or week apart, where the
    reference is long enough. ``repeated`` is the share of rows that repeat another one.
    """

    format: int
    rows: int
    features: tuple[FeatureProfile, ...]
    score: FeatureProfile | None = None
    pairs: PairProfile | None = None
    blocks: int = 0
    block_seconds: float = 0.0
    season: Season | None = None
    repeated: RepeatedRows | None = None

    def dump(self) -> bytes:
        """The profile as bytes: at most 20 KB for 100 numeric features."""
        stored = _Stored(
            format=self.format,
            rows=self.rows,
            features=tuple(map(_store, self.features)),
            score=None if self.score is None else _store(self.score),
            pairs=None if self.pairs is None else _store_pairs(self.pairs),
            blocks=self.blocks,
            block_seconds=self.block_seconds,
            season=self.season,
            repeated=self.repeated,
        )
        return squeezed(to_bytes(stored))

    @classmethod
    def load(cls, blob: bytes) -> ReferenceProfile:
        """The profile that ``dump`` wrote.

        Raises:
            InvalidInput: these are no such bytes, or of another release's format.
        """
        try:
            raw = unsqueezed(blob)
            known = msgspec.msgpack.decode(raw, type=_Header).format
            if known != FORMAT:
                raise InvalidInput(
                    f"The reference profile has format {known}, not {FORMAT}.",
                    hint="Build the profile again from the reference data.",
                    code="invalid_profile",
                )
            stored = msgspec.msgpack.decode(raw, type=_Stored)
        except (msgspec.MsgspecError, ValueError, TypeError) as wrong:
            raise InvalidInput(
                f"This is no reference profile: {wrong}.",
                hint="Build the profile again from the reference data.",
                code="invalid_profile",
            ) from wrong
        return cls(
            format=stored.format,
            rows=stored.rows,
            features=tuple(map(_restore, stored.features)),
            score=None if stored.score is None else _restore(stored.score),
            pairs=None if stored.pairs is None else _restore_pairs(stored.pairs),
            blocks=stored.blocks,
            block_seconds=stored.block_seconds,
            season=stored.season,
            repeated=stored.repeated,
        )

    def feature_sketcher(self, *, whole_rows: bool = False) -> Sketcher:
        """Sketches windows of features, for data drift; and whole rows, for data quality."""
        paired = self.pairs.positions if self.pairs else ()
        return Sketcher(
            tuple(feature.binning for feature in self.features),
            ranks={at: self.features[at].sketch for at in paired},
            whole_rows=whole_rows,
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
            how far the blocks differ among themselves; a block should be as long as a window. With
            four weeks of blocks of a day or less, the hours of the week are told apart, too.
        block_seconds: How long a block is.
        importance: By feature name; 1 where it is not given.

    Raises:
        InvalidInput: there are no rows, or the arrays differ in length.
    """
    return profile_of(
        columns.features,
        columns.arrays,
        scores,
        times,
        block_seconds=block_seconds,
        importance=importance,
    )


def profile_of(
    features: Sequence[FeatureSpec],
    columns: Sequence[Array | Coded],
    scores: FloatArray | None = None,
    times: FloatArray | None = None,
    *,
    block_seconds: float = 86_400.0,
    importance: Mapping[str, float] | None = None,
) -> ReferenceProfile:
    """As :func:`build_profile`, of columns that may be codes."""
    _check(columns, scores, times)
    weights = importance or {}
    specs = [*features]
    arrays: list[Array | Coded] = [*columns]
    if scores is not None:
        specs.append(FeatureSpec(name="score", kind=FeatureKind.NUMERIC))
        arrays.append(scores)
    binnings = [fit(spec.kind, array) for spec, array in zip(specs, arrays, strict=True)]
    sketches = [rounded(sketch(b, array)) for b, array in zip(binnings, arrays, strict=True)]
    positions = _paired(features, sketches)
    sketcher = Sketcher(binnings, ranks={at: sketches[at] for at in positions})
    blocks = blocks_of(times, block_seconds)
    parts = [sketcher.sketch([array[rows] for array in arrays]) for rows in blocks.rows]
    by_block = zip(*(part.features for part in parts), strict=True)
    of_feature = list(by_block) or [()] * len(specs)
    if parts:
        blocks = replace(blocks, apart=memory_of(of_feature, STATISTICS, blocks))
    profiles = tuple(
        FeatureProfile(
            feature=spec,
            binning=binnings[at],
            sketch=sketches[at],
            importance=float(weights.get(spec.name, 1.0)),
            dispersion=dispersions(of_feature[at], STATISTICS, blocks),
            usual=usual_of(binnings[at], of_feature[at]),
        )
        for at, spec in enumerate(specs)
    )
    return ReferenceProfile(
        format=FORMAT,
        rows=len(arrays[0]),
        features=profiles[: len(features)],
        score=profiles[-1] if scores is not None else None,
        pairs=_pair_profile(sketcher, arrays, positions, parts, blocks),
        blocks=len(parts),
        block_seconds=block_seconds if parts else 0.0,
        season=blocks.season,
        repeated=repeated_in(binnings[: len(features)], arrays[: len(features)], blocks),
    )


def _check(columns: Sequence[Column], scores: FloatArray | None, times: FloatArray | None) -> None:
    lengths = {len(array) for array in (*columns, scores, times) if array is not None}
    if len(lengths) != 1 or lengths == {0}:
        found = "no rows" if lengths <= {0} else f"arrays of {sorted(lengths)} rows"
        raise InvalidInput(
            f"A reference needs at least one row; this one has {found}.",
            hint="Give columns, scores and times of the same, non-zero length.",
            code="invalid_reference",
        )


def _paired(features: Sequence[FeatureSpec], sketches: Sequence[Sketch]) -> tuple[int, ...]:
    """The first 64 numeric features that vary."""
    varying = [
        at
        for at, spec in enumerate(features)
        if spec.kind is not FeatureKind.CATEGORICAL and len(sketches[at].codes) > 1
    ]
    return tuple(varying[:_MOST_PAIRED]) if len(varying) > 1 else ()


def _pair_profile(
    sketcher: Sketcher,
    arrays: Sequence[Array | Coded],
    positions: tuple[int, ...],
    parts: Sequence[TableSketch],
    blocks: Blocks,
) -> PairProfile | None:
    if not positions:
        return None
    step = -(-len(arrays[0]) // _PAIR_ROWS)
    table = sketcher.sketch(arrays, pair_step=step)
    if table.pairs is None:
        return None
    variances = pair_variances(*sketcher.normal_scores(arrays, -(-len(arrays[0]) // _NOISE_ROWS)))
    sums = [part.pairs for part in parts if part.pairs is not None]
    profile = PairProfile(
        positions=positions,
        reference=correlated(table.pairs),
        variances=variances,
        dispersion=_pair_dispersion(sums, variances, blocks),
    )
    # Rounded as it is stored, so that a profile just built answers as one that was loaded.
    return _restore_pairs(_store_pairs(profile))


def _pair_dispersion(
    parts: Sequence[IntArray], variances: FloatArray, blocks: Blocks
) -> Dispersion | None:
    if not parts:
        return None
    whole = np.sum(parts, axis=0)
    changes = [
        largest_change(correlated(whole - near), correlated(part), variances)
        for near, part in zip(neighbouring(parts, blocks.apart), parts, strict=True)
    ]
    sizes = [change.size for change in changes if change is not None]
    scores = [None if change is None else change.score for change in changes]
    return dispersion_of(scores, sizes, blocks) if sizes else None


def _store(profile: FeatureProfile) -> _Feature:
    return _Feature(
        packed=pack(profile.feature, profile.binning, profile.sketch),
        importance=profile.importance,
        dispersion=profile.dispersion,
        usual=profile.usual,
    )


def _restore(stored: _Feature) -> FeatureProfile:
    binning, found = unpack(stored.packed)
    return FeatureProfile(
        feature=stored.packed.feature,
        binning=binning,
        sketch=found,
        importance=stored.importance,
        dispersion=stored.dispersion,
        usual=stored.usual,
    )


def _store_pairs(pairs: PairProfile) -> _Pairs:
    return _Pairs(
        positions=pairs.positions,
        values=triangle(pairs.reference.values, _CORRELATION_UNIT),
        rows=triangle(pairs.reference.rows, 1.0),
        variances=triangle(np.log2(pairs.variances), _VARIANCE_UNIT),
        dispersion=pairs.dispersion,
    )


def _restore_pairs(stored: _Pairs) -> PairProfile:
    size = len(stored.positions)
    return PairProfile(
        positions=stored.positions,
        reference=Correlated(
            values=from_triangle(stored.values, size, _CORRELATION_UNIT),
            rows=from_triangle(stored.rows, size, 1.0),
        ),
        variances=np.exp2(from_triangle(stored.variances, size, _VARIANCE_UNIT)),
        dispersion=stored.dispersion,
    )
