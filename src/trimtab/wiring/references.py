"""What the rooms of watching take from a reference profile."""

from __future__ import annotations

from trimtab.drift.noise import effective_size
from trimtab.drift.profile import FeatureProfile, ReferenceProfile
from trimtab.quality import Reference, Usual
from trimtab.sketch import Sketcher

SEGMENTS_DIGEST = "segments_digest"


def references_of(profile: ReferenceProfile) -> tuple[Reference, ...]:
    """The features, for data quality."""
    return tuple(
        Reference(one.feature, one.binning, one.sketch, _usual(one)) for one in profile.features
    )


def _usual(profile: FeatureProfile) -> Usual | None:
    """How the feature's time blocks differ anyway."""
    known = profile.usual
    if known is None:
        return None

    def p_value(statistic: str, score: float, rows: int) -> float:
        noise = profile.dispersion.get(statistic)
        size = effective_size(profile.sketch.rows, rows)
        return noise.p_value(score, size) if noise else 0.0

    ks = profile.dispersion.get("ks")
    return Usual(
        blocks=known.blocks,
        constant=known.constant,
        low=known.low,
        high=known.high,
        bulk=known.bulk,
        gap=ks.usual_score() if ks else 0.0,
        p_value=p_value,
    )


def sketcher_of(profile: ReferenceProfile) -> Sketcher:
    """Sketches features, scores and correlations together, for all subjects of a window."""
    paired = profile.pairs.positions if profile.pairs else ()
    return Sketcher(
        tuple(one.binning for one in profile.features),
        score=profile.score.binning if profile.score else None,
        ranks={at: profile.features[at].sketch for at in paired},
        whole_rows=profile.repeated is not None,
    )
