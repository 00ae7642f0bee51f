"""A story as a picture that stands alone: when performance fell, and who said so when."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from trimtab.report.ticks import number_ticks

WIDTH, HEIGHT = 880, 470
LEFT, RIGHT = 96, 756
TOP, BOTTOM = 76, 268
LANES, LANE = 338, 32
APART = 18
STYLE = (
    "<style>text{font:14px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#46525f}"
    ".title{font-size:18px;font-weight:600;fill:#1c2430}.strong{font-weight:600;fill:#1c2430}"
    ".end{text-anchor:end}.mid{text-anchor:middle}.grid{stroke:#e4e8ec}"
    ".held{stroke:#46525f;stroke-dasharray:6 5}.fell{fill:#fbeae8}"
    ".measured{stroke:#175a94;stroke-width:2;fill:none}.measured circle{fill:#175a94}"
    ".estimated{stroke:#6b7682;stroke-width:1.5;fill:none}.estimated path{stroke-dasharray:3 4}"
    ".estimated circle{fill:#fff}.blue{fill:#175a94;font-weight:600}.track{fill:#eef1f4}"
    ".true{fill:#b3261e}.early{fill:#d98a00}.amber{fill:#8f5a00}.red{fill:#a3211a}</style>"
)
LABELS = {
    "data_drift": "inputs",
    "estimated_performance": "estimate",
    "performance": "measured",
    "concept_drift": "concept",
}
METRICS = {"roc_auc": "ROC AUC", "brier": "Brier score (lower is better)"}
FIELDS = {"roc_auc": "auc", "brier": "brier"}


def picture(story: Any) -> str:
    """The metric that fell, measured and estimated by group; below, when each subject had drifted."""
    start, end = story.groups[0].start, story.groups[-1].end
    metric = metric_of(story)

    def x(at: float) -> float:
        return LEFT + (min(max(at, start), end) - start) / (end - start) * (RIGHT - LEFT)

    body = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(20, 30, title(story), "title"),
        text(20, 56, METRICS[metric], "strong"),
        *columns(story, x),
        *values(story, metric, x),
        text(20, LANES - 14, "said to have drifted", "strong"),
        *lanes(story, x),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title(story))}</title>'
    )
    return f"{head}{STYLE}{''.join(body)}</svg>\n"


def metric_of(story: Any) -> str:
    """The metric that fell in most groups."""
    return max(METRICS, key=lambda metric: sum(metric in group.fell for group in story.groups))


def title(story: Any) -> str:
    name = story.name.capitalize()
    if story.fell:
        return f"{name}: performance really fell in {story.fell}"
    quiet = not any(told.first for told in story.told if told.subject in LABELS)
    return f"{name}: performance never fell{', and nothing was said' if quiet else ''}"


def columns(story: Any, x: Any) -> list[str]:
    """A column a group, red where performance really fell."""
    found = []
    for group in story.groups:
        left, right = x(group.start), x(group.end)
        middle = (left + right) / 2
        if group.fell:
            tall = LANES + 4 * LANE - 8 - TOP
            found.append(
                f'<rect class="fell" x="{left + 1:.1f}" y="{TOP}" width="{right - left - 2:.1f}" '
                f'height="{tall}"/>'
            )
        found.append(text(middle, BOTTOM + 20, group.name, "mid"))
    if story.fell:
        found.append(f'<rect class="fell" x="{RIGHT + 12}" y="44" width="14" height="14"/>')
        found.append(text(RIGHT + 34, 56, "really fell", "red"))
    return found


def values(story: Any, metric: str, x: Any) -> list[str]:
    """Measured and estimated with their intervals, and what was held out."""
    measured, estimated = [], []
    field = FIELDS[metric]
    for group in story.groups:
        middle = (x(group.start) + x(group.end)) / 2
        value, se = getattr(group, field), getattr(group, f"{field}_se")
        measured.append((middle - 5, value, value - 1.96 * se, value + 1.96 * se))
        guess = getattr(group, f"estimated_{field}")
        if guess is not None:
            estimated.append((middle + 5, *guess))
    held = story.held_out if metric == "roc_auc" else story.held_out_brier
    known = [held, *(v for point in measured + estimated for v in point[1:])]
    levels = [v for v in number_ticks(min(known), max(known)) if 0 <= v <= 1]
    low, high = min(levels[0], *known), max(levels[-1], *known)

    def y(value: float) -> float:
        return BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP)

    found = []
    for level in levels:
        found.append(f'<path class="grid" d="M{LEFT} {y(level):.1f}H{RIGHT}"/>')
        found.append(text(LEFT - 10, y(level) + 5, f"{level:g}", "end"))
    found.append(f'<path class="held" d="M{LEFT} {y(held):.1f}H{RIGHT}"/>')
    found += [series("estimated", estimated, y), series("measured", measured, y)]
    ends = [(y(held), "held out", ""), (y(measured[-1][1]), "measured", "blue")]
    if estimated:
        ends.append((y(estimated[-1][1]), "estimated", ""))
    return found + [text(RIGHT + 12, at + 5, words, kind) for at, words, kind in spread(ends)]


def series(kind: str, points: Sequence[tuple[float, ...]], y: Any) -> str:
    if not points:
        return ""
    line = "L".join(f"{at:.1f} {y(value):.1f}" for at, value, *_ in points)
    found = [f'<path d="M{line}"/>']
    for at, value, low, high in points:
        found.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}"/>')
        found.append(f'<circle cx="{at:.1f}" cy="{y(value):.1f}" r="4"/>')
    return f'<g class="{kind}">{"".join(found)}</g>'


def spread(ends: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Labels moved apart where they would overlap, around where they belong."""
    ends = sorted(ends)
    at = [end[0] for end in ends]
    for _ in range(200):
        for i in range(len(at) - 1):
            close = APART - (at[i + 1] - at[i])
            if close > 0.01:
                at[i], at[i + 1] = at[i] - close / 2, at[i + 1] + close / 2
    return [(place, words, kind) for place, (_, words, kind) in zip(at, ends, strict=True)]


def lanes(story: Any, x: Any) -> list[str]:
    """A lane a subject: when it had drifted, amber before performance fell."""
    fell = next((group.start for group in story.groups if group.fell), None)
    found = []
    for row, told in enumerate(t for t in story.told if t.subject in LABELS):
        at = LANES + row * LANE
        found.append(text(LEFT - 10, at + 12, LABELS[told.subject], "end"))
        found.append(
            f'<rect class="track" x="{LEFT}" y="{at}" width="{RIGHT - LEFT}" height="14" rx="3"/>'
        )
        for begin, end in told.drifted:
            cut = end if fell is None else min(end, max(begin, fell))
            for left, right, kind in ((begin, cut, "early"), (cut, end, "true")):
                if x(right) > x(left):
                    wide = max(x(right) - x(left), 3)
                    found.append(
                        f'<rect class="{kind}" x="{x(left):.1f}" y="{at}" width="{wide:.1f}" height="14"/>'
                    )
        kind = "amber" if told.before else "red" if told.first else ""
        found.append(text(RIGHT + 12, at + 12, told.first or "never", kind))
    return found


def text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'
