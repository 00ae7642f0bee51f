"""The page of `trimtab drift --html`: verdicts, feature by feature, with their distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.report.distributions import Picture, distribution
from trimtab.report.rendering import STYLE, environment
from trimtab.types import Comparison, Verdict

_TEMPLATES = environment()


def render_drift(
    verdict: Verdict,
    reference: str,
    current: str,
    quality: Verdict | None = None,
    segments: Mapping[str, Verdict] | None = None,
    pictures: Sequence[Picture] = (),
) -> str:
    """Write a verdict as one self-contained HTML document.

    Args:
        verdict: What the comparison found.
        reference: What the reference is called, for example a file's name.
        current: What the current data is called.
        quality: What is wrong with the data itself.
        segments: Verdicts on parts of the rows, by name.
        pictures: Distributions of features that are flagged.
    """
    return _TEMPLATES.get_template("drift.html").render(
        reference=reference,
        current=current,
        style=STYLE,
        **_shown(verdict, quality, segments or {}, pictures),
    )


def render_fragment(
    verdict: Verdict,
    quality: Verdict | None = None,
    segments: Mapping[str, Verdict] | None = None,
    pictures: Sequence[Picture] = (),
) -> str:
    """The same for a notebook's cell: a part of a page, with its own style, light and dark."""
    shown = _shown(verdict, quality, segments or {}, pictures)
    return _TEMPLATES.get_template("drift_cell.html").render(**shown)


def _shown(
    verdict: Verdict,
    quality: Verdict | None,
    segments: Mapping[str, Verdict],
    pictures: Sequence[Picture],
) -> dict[str, Any]:
    flagged = frozenset(verdict.flagged)
    faults = [] if quality is None else _named(quality)
    return {
        "verdict": verdict,
        "ranked": sorted(
            verdict.comparisons,
            key=lambda c: (c.name not in flagged, -c.score * c.importance, c.name),
        ),
        "flagged": flagged,
        "quality": quality,
        "faults": faults,
        "segments": segments,
        "moved": _named(verdict),
        "drawn": {picture.name: distribution(picture) for picture in pictures},
        "enough": verdict.state.value != "not_enough_data",
    }


def _named(verdict: Verdict) -> list[Comparison]:
    """The flagged comparisons, strongest first."""
    by_name = {found.name: found for found in verdict.comparisons}
    return [by_name[name] for name in verdict.flagged]
