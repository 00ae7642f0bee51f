"""What a version's held-out rows promise of its performance, kept beside the version."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from trimtab.config import PerformanceConfig
from trimtab.performance.comparer import is_ranking
from trimtab.performance.concept import Excess, held_out_excess
from trimtab.performance.estimated import Estimator, make_estimator
from trimtab.performance.heldout import HeldOut, evaluate
from trimtab.performance.segments import SegmentSpec, segment_spec
from trimtab.types import Array, Record, Scalar, Signature

_SEGMENT_ROWS = 30


class Promise(Record, frozen=True):
    """What held-out rows say beyond a version's ``metrics``.

    Segments with their figures by metric; how performance is estimated without outcomes; how far outcomes
    are from what predictions lead one to expect. What was not learned is empty or None.
    """

    segments: tuple[SegmentSpec, ...] = ()
    segment_figures: Mapping[str, Mapping[str, float]] = {}
    estimator: Estimator | None = None
    excess: Excess | None = None

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
    columns = {
        feature.name: array
        for feature, array in zip(heldout.columns.features, heldout.columns.arrays, strict=True)
    }
    specs = tuple(
        segment_spec(feature, columns[feature.name])
        for feature in heldout.columns.features
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
                ) | _ranked(heldout, rows, signature, config)
    estimator, shares = make_estimator(heldout, signature, config)
    return Promise(
        segments=specs,
        segment_figures=figures,
        estimator=estimator,
        excess=held_out_excess(heldout, shares, signature),
    )


def _ranked(
    heldout: HeldOut, inside: Array, signature: Signature, config: PerformanceConfig
) -> dict[str, float]:
    """The figures of a segment's rankings: of the requests that lie in it with all their rows."""
    if heldout.requests is None or config.ranking_k is None:
        return {}
    _, place = np.unique(heldout.requests, return_inverse=True)
    whole = inside & ~np.isin(place, place[~inside])
    found = evaluate(
        heldout.scores[whole],
        heldout.outcomes[whole],
        signature,
        config=config,
        requests=heldout.requests[whole],
    )
    return {name: value for name, value in found.items() if is_ranking(name)}


def _scalar(value: Array | float | str | None) -> Scalar:
    return value if value is None or isinstance(value, str) else float(value)
