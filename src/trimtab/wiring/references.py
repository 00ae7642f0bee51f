"""What the rooms of watching take from a reference profile."""

from __future__ import annotations

from trimtab.drift.profile import ReferenceProfile
from trimtab.quality import Reference
from trimtab.sketch import Sketcher

SEGMENTS_DIGEST = "segments_digest"


def references_of(profile: ReferenceProfile) -> tuple[Reference, ...]:
    """The features, for data quality."""
    return tuple(Reference(one.feature, one.binning, one.sketch) for one in profile.features)


def sketcher_of(profile: ReferenceProfile) -> Sketcher:
    """Sketches features, scores and correlations together, for all subjects of a window."""
    paired = profile.pairs.positions if profile.pairs else ()
    return Sketcher(
        tuple(one.binning for one in profile.features),
        score=profile.score.binning if profile.score else None,
        ranks={at: profile.features[at].sketch for at in paired},
        whole_rows=profile.repeated is not None,
    )
