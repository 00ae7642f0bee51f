"""What a version's held-out rows promise of its performance, kept beside the version."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from trimtab.config import PerformanceConfig
from trimtab.performance.heldout import evaluate
from trimtab.performance.segments import SegmentSpec, segment_spec
from trimtab.types import Array, Columns, FloatArray, Record, Scalar, Signature

_SEGMENT_ROWS = 30


class HeldOut(Record, frozen=True):
    """Rows that a model was not trained on, with what it answered and what became known.

    ``scores`` as in ``evaluate``; ``outcomes`` are all finite; ``event_times`` in Unix seconds, where
    they are known.
    """

    columns: Columns
    scores: FloatArray
    outcomes: FloatArray
    event_times: FloatArray | None = None
    window_seconds: float = 86_400.0


class Promise(Record, frozen=True):
    """Segments as found in held-out rows, with their figures by metric."""

    segments: tuple[SegmentSpec, ...] = ()
    segment_figures: Mapping[str, Mapping[str, float]] = {}

    def dump(self) -> bytes:
        """As bytes."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def load(cls, blob: bytes) -> Promise:
        """From bytes."""
        return msgspec.msgpack.decode(blob, type=cls)


def make_promise(
    heldout: HeldOut,
    signature: Signature,
    config: PerformanceConfig = PerformanceConfig(),  # noqa: B008 - frozen
) -> Promise:
    """Measure what held-out rows promise beyond a version's ``metrics``."""
    columns = dict(zip(signature.names, heldout.columns.arrays, strict=True))
    specs = tuple(
        segment_spec(feature, columns[feature.name])
        for feature in signature.features
        if feature.name in config.segments
    )
    figures = {}
    for spec in specs:
        names = np.array(
            [spec.name(_scalar(value)) for value in columns[spec.feature]], dtype=object
        )
        for name in np.unique(names):
            rows = names == name
            if int(rows.sum()) >= _SEGMENT_ROWS:
                figures[str(name)] = evaluate(
                    heldout.scores[rows], heldout.outcomes[rows], signature, config=config
                )
    return Promise(segments=specs, segment_figures=figures)


def _scalar(value: Array | float | str | None) -> Scalar:
    return value if value is None or isinstance(value, str) else float(value)
