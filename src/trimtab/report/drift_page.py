"""The page of `trimtab drift --html`: one verdict, feature by feature."""

from __future__ import annotations

from trimtab.report.rendering import STYLE, environment
from trimtab.types import Verdict

_TEMPLATES = environment()


def render_drift(verdict: Verdict, reference: str, current: str) -> str:
    """Write a verdict as one self-contained HTML document.

    Args:
        verdict: What the comparison found.
        reference: What the reference is called, for example a file's name.
        current: What the current data is called.
    """
    flagged = frozenset(verdict.flagged)
    ranked = sorted(
        verdict.comparisons,
        key=lambda c: (c.name not in flagged, -c.score * c.importance, c.name),
    )
    return _TEMPLATES.get_template("drift.html").render(
        verdict=verdict,
        ranked=ranked,
        flagged=flagged,
        reference=reference,
        current=current,
        style=STYLE,
    )
