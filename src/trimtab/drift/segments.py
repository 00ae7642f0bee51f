"""A reference profile for each part of the traffic that is watched apart."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np

from trimtab.drift.profile import ReferenceProfile, build_profile
from trimtab.errors import InvalidInput
from trimtab.types import Array, Columns, FeatureKind, FloatArray, Record

_LEAST_ROWS = 100


class SegmentProfile(Record, frozen=True):
    """The rows of the reference in which the feature at ``position`` has ``value``."""

    feature: str
    position: int
    value: str
    profile: bytes

    def load(self) -> ReferenceProfile:
        """The profile itself."""
        return ReferenceProfile.load(self.profile)


def build_segments(
    columns: Columns,
    by: str,
    most: int,
    *,
    scores: FloatArray | None = None,
    times: FloatArray | None = None,
    block_seconds: float = 86_400.0,
) -> tuple[SegmentProfile, ...]:
    """Profiles of the most frequent values of a feature, those with 100 rows or more.

    Args:
        columns: The reference's rows.
        by: The feature: categories, booleans or whole numbers.
        most: How many segments there are at most.
        scores: As for ``build_profile``.
        times: As for ``build_profile``.
        block_seconds: As for ``build_profile``.

    Raises:
        InvalidInput: there is no such feature, or it has fractions.
    """
    names = [spec.name for spec in columns.features]
    if by not in names:
        raise InvalidInput(
            f"Traffic is to be watched by {by!r}, which is no feature of the model.",
            hint=f"segment_by is one of: {', '.join(names)}.",
            code="unknown_segment_feature",
            path="segment_by",
        )
    at = names.index(by)
    kind = columns.features[at].kind
    if kind is FeatureKind.NUMERIC:
        raise InvalidInput(
            f"Traffic cannot be watched by {by!r}: it has fractions.",
            hint="Take a feature of categories, booleans or whole numbers.",
            code="invalid_segment_feature",
            path="segment_by",
        )
    texts = texts_of(kind, columns.arrays[at])
    ranked = sorted(Counter(t for t in texts if t is not None).items(), key=lambda i: (-i[1], i[0]))
    found = []
    for value, rows in ranked[:most]:
        if rows < _LEAST_ROWS:
            break
        inside = np.flatnonzero(texts == value)
        part = Columns(
            features=columns.features, arrays=tuple(array[inside] for array in columns.arrays)
        )
        profile = build_profile(
            part,
            scores=None if scores is None else scores[inside],
            times=None if times is None else times[inside],
            block_seconds=block_seconds,
        )
        found.append(SegmentProfile(feature=by, position=at, value=value, profile=profile.dump()))
    return tuple(found)


def dump_segments(segments: tuple[SegmentProfile, ...]) -> bytes:
    """The profiles as bytes."""
    return msgspec.msgpack.encode(segments)


def load_segments(blob: bytes) -> tuple[SegmentProfile, ...]:
    """What ``dump_segments`` wrote."""
    return msgspec.msgpack.decode(blob, type=tuple[SegmentProfile, ...])


def texts_of(kind: FeatureKind, column: Array) -> Array:
    """Values as windows name them; None for missing."""
    if kind is FeatureKind.CATEGORICAL:
        return column
    missing = np.isnan(column)
    if kind is FeatureKind.BOOLEAN:
        names = np.where(column > 0, "true", "false").astype(object)
    else:
        names = np.array([f"{value:.0f}" for value in np.where(missing, 0, column)], dtype=object)
    names[missing] = None
    return names
