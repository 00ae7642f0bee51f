"""Segments: parts of the rows by the value of one feature."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.recordtable import RecordTable
from trimtab.types import (
    Array,
    FeatureKind,
    FeatureSpec,
    PredictionRecord,
    Record,
    Scalar,
    Signature,
)

MOST_VALUES = 12
MISSING, OTHER = "missing", "other"


class SegmentSpec(Record, frozen=True):
    """How a feature's values part the rows: by ``values`` of their own, or at ``edges``."""

    feature: str
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    def name(self, value: Scalar) -> str:
        """The segment that a value falls into.

        >>> SegmentSpec(feature="country", values=("fr", "nl")).name("zz")
        'country = other'
        >>> SegmentSpec(feature="amount", edges=(10.0, 250.0)).name(12)
        'amount from 10 to 250'
        """
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return f"{self.feature} = {MISSING}"
        if not self.edges:
            said = _text(value)
            return f"{self.feature} = {said if said in self.values else OTHER}"
        number = float(value) if isinstance(value, int | float) else math.nan
        place = bisect_right(self.edges, number)
        if place == 0:
            return f"{self.feature} below {self.edges[0]:g}"
        if place == len(self.edges):
            return f"{self.feature} from {self.edges[-1]:g}"
        return f"{self.feature} from {self.edges[place - 1]:g} to {self.edges[place]:g}"

    def names(self, values: Sequence[Scalar]) -> list[str]:
        """The segments that values fall into."""
        texts = {value for value in values if isinstance(value, str)}
        named = {text: self.name(text) for text in texts}
        return [named[v] if isinstance(v, str) else self.name(v) for v in values]


def segment_spec(feature: FeatureSpec, column: Array) -> SegmentSpec:
    """The segments of a feature as found in held-out rows.

    At most 12 values, the most frequent ones; what else there is falls together. Numbers with more
    distinct values are parted at their quartiles.
    """
    if feature.kind is FeatureKind.CATEGORICAL:
        said = [_text(value) for value in column if value is not None]
    else:
        known = column[np.isfinite(column)]
        distinct = np.unique(known)
        if len(distinct) > MOST_VALUES:
            edges = np.unique(np.quantile(known, (0.25, 0.5, 0.75)))
            return SegmentSpec(feature=feature.name, edges=tuple(float(f"{e:.4g}") for e in edges))
        said = [_text(float(value)) for value in known]
    names, counts = np.unique(np.array(said, dtype=object), return_counts=True)
    often = sorted(
        zip(names.tolist(), counts.tolist(), strict=True), key=lambda one: (-one[1], one[0])
    )
    return SegmentSpec(feature=feature.name, values=tuple(name for name, _ in often[:MOST_VALUES]))


class Segments:
    """The segments that a version's predictions fall into.

    Args:
        specs: How values part the rows; those of features that the version does not have are left out.
        signature: The version's.
    """

    def __init__(self, specs: Sequence[SegmentSpec], signature: Signature) -> None:
        self.specs = tuple(spec for spec in specs if spec.feature in signature.names)
        self._places = [signature.names.index(spec.feature) for spec in self.specs]

    def places(self, records: RecordTable) -> Mapping[str, Sequence[int]]:
        """The places of predictions by segment."""
        found: dict[str, list[int]] = {}
        withheld = records.cells("withheld") if self.specs else ()
        for spec, at in zip(self.specs, self._places, strict=True):
            names = spec.names(records.scalars(at))
            for place, (name, gone) in enumerate(zip(names, withheld, strict=True)):
                if at not in gone:
                    found.setdefault(name, []).append(place)
        return found

    def of(self, record: PredictionRecord) -> tuple[str, ...]:
        """A prediction's; none by a feature whose value was withheld."""
        return tuple(
            spec.name(record.values[at])
            for spec, at in zip(self.specs, self._places, strict=True)
            if at not in record.withheld
        )


def names_of(
    specs: tuple[SegmentSpec, ...], values: Mapping[str, Scalar] | None
) -> tuple[str, ...]:
    """The segments that a row is in; none where its values were not kept."""
    if values is None:
        return ()
    return tuple(spec.name(values[spec.feature]) for spec in specs if spec.feature in values)


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float | int) else str(value)
