"""A story as a picture that stands alone: the product's own chart, with its colours written in."""

from __future__ import annotations

import re
from typing import Any

from trimtab.report.charts import Limit, Line, Mark, Point, line_chart
from trimtab.types import State, Verdict

STYLE = (
    "<style>text{font:11px system-ui,sans-serif;fill:#5b6673}.mark text{font-weight:600;fill:#1c2430}"
    ".y{text-anchor:end}.x{text-anchor:middle}.mark text{text-anchor:middle}"
    ".grid,.axis{stroke:#dfe4ea;fill:none}.line path{fill:none;stroke:#175a94;stroke-width:1.8}"
    ".line circle{fill:#175a94}.line text{fill:#175a94;font-weight:600;text-anchor:end}"
    ".line.estimated path{stroke:#1c2430;stroke-dasharray:3 3;stroke-width:1.4}"
    ".line.estimated circle{fill:#fff;stroke:#1c2430}.line.estimated text{fill:#1c2430}"
    ".band{fill:#175a9424}.band.estimated{fill:#1c243012}"
    ".limit path{stroke:#1c2430;stroke-opacity:.55;stroke-dasharray:5 4;fill:none}"
    ".mark path{stroke:#b3261e;stroke-width:1;fill:none}</style>"
)
WORDS = {
    "data_drift": "inputs",
    "estimated_performance": "estimate",
    "performance": "measured",
    "concept_drift": "concept",
}


def picture(story: Any, verdicts: list[Verdict]) -> str:
    """Measured and estimated ROC AUC by month, week or tenth, and when each subject drifted first."""
    measured = [
        Point(at=g.middle, value=g.auc, low=g.auc - 1.96 * g.auc_se, high=g.auc + 1.96 * g.auc_se)
        for g in story.groups
    ]
    estimated = [
        Point(
            at=g.middle, value=g.estimated_auc[0], low=g.estimated_auc[1], high=g.estimated_auc[2]
        )
        for g in story.groups
        if g.estimated_auc is not None
    ]
    svg = line_chart(
        [
            Line(name="estimated", points=tuple(estimated), estimated=True),
            Line(name="measured", points=tuple(measured)),
        ],
        title=f"{story.name}: ROC AUC by {story.unit}",
        description=f"Held out {story.held_out:.3f}; really fell: {story.fell or 'never'}.",
        limit=Limit(value=story.held_out, words="held-out"),
        marks=marks(verdicts, story.groups[0].middle, story.groups[-1].middle),
    )
    text = re.sub(
        r'<svg class="chart" viewBox="0 0 ([\d.]+) ([\d.]+)"',
        r'<svg xmlns="http://www.w3.org/2000/svg" width="880" height="428" viewBox="0 0 \1 \2"',
        str(svg),
        count=1,
    )
    head, rest = text.split(">", 1)
    return f'{head}>{STYLE}<rect width="100%" height="100%" fill="#fff"/>{rest}\n'


def marks(verdicts: list[Verdict], start: float, end: float) -> list[Mark]:
    """When subjects drifted first, within the picture; what came together has one mark."""
    found: list[Mark] = []
    for subject, words in WORDS.items():
        mine = (v for v in verdicts if v.subject == subject and v.state is State.DRIFTED)
        first = next(mine, None)
        if first is None:
            continue
        at = min(max((first.start + first.end) / 2, start), end)
        near = next((m for m in found if abs(m.at - at) < 0.06 * (end - start)), None)
        if near is None:
            found.append(Mark(at=at, words=words))
        else:
            found[found.index(near)] = Mark(at=near.at, words=f"{near.words}, {words}")
    return found
