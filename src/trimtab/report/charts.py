"""Charts drawn on the server: inline SVG that needs no script, prints, and reads in the dark.

Colours and fonts come from classes of the page's style sheet (``trimtab.css``); no attribute holds
a style, so a page with a strict content security policy may show them. Every chart has a role, a
title and a description; the numbers stand beside it in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from trimtab.report.ticks import number_ticks, time_ticks
from trimtab.report.words import percent, score
from trimtab.types import Record

WIDTH, HEIGHT = 440.0, 214.0
_LEFT, _RIGHT, _BOTTOM = 40.0, 10.0, 24.0
_TOP, _TOP_WITH_MARKS = 12.0, 38.0
_MOST_POINTS = 96
_LABEL_WIDTH, _BOLD_WIDTH = 6.2, 6.9
_NAME_ROOM = 14


class Point(Record, frozen=True):
    """A value over the time ``at``; ``low`` and ``high`` are its interval, where one is known."""

    at: float
    value: float
    low: float | None = None
    high: float | None = None


class Line(Record, frozen=True):
    """One line of a chart. A ``muted`` one stands behind the others, an ``estimated`` one is broken."""

    name: str
    points: tuple[Point, ...]
    muted: bool = False
    estimated: bool = False


class Mark(Record, frozen=True):
    """Something that happened at a moment of the chart."""

    at: float
    words: str


class Limit(Record, frozen=True):
    """A level that means something."""

    value: float
    words: str


@dataclass(frozen=True, slots=True)
class _Plot:
    """From data to the drawing's coordinates."""

    start: float
    end: float
    low: float
    high: float
    top: float

    def x(self, at: float) -> float:
        part = (at - self.start) / (self.end - self.start)
        return _LEFT + part * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return HEIGHT - _BOTTOM - part * (HEIGHT - _BOTTOM - self.top)


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    description: str,
    limit: Limit | None = None,
    marks: Sequence[Mark] = (),
    label: Callable[[float], str] = lambda value: f"{value:g}",
    from_zero: bool = False,
) -> Markup:
    """Values over time, with a level that means something and what happened meanwhile.

    Args:
        lines: At least one point among them; later lines are drawn over earlier ones.
        title: What is shown, for people who do not see it.
        description: What it says.
        limit: A dashed level.
        marks: Vertical rules with a label above; outside the span of the points they are left out.
        label: How values are written at the axis.
        from_zero: Whether the axis begins at 0.

    Returns:
        An ``<svg>`` element, or an empty text without points.
    """
    points = [point for line in lines for point in line.points]
    if not points:
        return Markup()
    top = _TOP_WITH_MARKS if marks else _TOP
    plot, levels = _plot(points, limit, top, from_zero=from_zero)
    parts = [_grid(plot, levels, label)]
    parts.append(_marks(plot, marks))
    parts += [_band(plot, line) for line in lines]
    parts += [
        _path(plot, line, named=len(lines) > 1, below=_crowded(plot, line, lines)) for line in lines
    ]
    if limit is not None:
        parts.append(_limit(plot, limit))
    return _svg("chart", WIDTH, HEIGHT, title, description, parts)


def _plot(
    points: Sequence[Point], limit: Limit | None, top: float, *, from_zero: bool
) -> tuple[_Plot, list[float]]:
    start, end = min(p.at for p in points), max(p.at for p in points)
    if start == end:
        start, end = start - 1.0, end + 1.0
    values = [v for p in points for v in (p.value, p.low, p.high) if v is not None]
    values += [limit.value] if limit else []
    values += [0.0] if from_zero else []
    low, high = min(values), max(values)
    spare = 0.0 if from_zero else (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    levels = number_ticks(low - spare, high + spare)
    return _Plot(start, end, levels[0], levels[-1], top), levels


def _grid(plot: _Plot, levels: Sequence[float], label: Callable[[float], str]) -> Markup:
    right = WIDTH - _RIGHT
    rows = [
        Markup('<path class="{}" d="M{} {}H{}"/><text class="y" x="{}" y="{}">{}</text>').format(
            "axis" if level == levels[0] else "grid",
            _n(_LEFT),
            _n(plot.y(level)),
            _n(right),
            _n(_LEFT - 6),
            _n(plot.y(level) + 4),
            label(level),
        )
        for level in levels
    ]
    for at, words in time_ticks(plot.start, plot.end):
        x, half = plot.x(at), len(words) * _LABEL_WIDTH / 2
        rows.append(
            Markup(
                '<path class="axis" d="M{} {}v4"/><text class="x" x="{}" y="{}">{}</text>'
            ).format(
                _n(x),
                _n(HEIGHT - _BOTTOM),
                _n(min(max(x, half), WIDTH - half)),
                _n(HEIGHT - 6),
                words,
            )
        )
    return Markup().join(rows)


def _marks(plot: _Plot, marks: Sequence[Mark]) -> Markup:
    """Rules with labels in two rows; a label that would run into one before it goes to the other."""
    drawn: list[Markup] = []
    free = [0.0, 0.0]
    for mark in sorted(marks, key=lambda mark: mark.at):
        if not plot.start <= mark.at <= plot.end:
            continue
        x, half = plot.x(mark.at), len(mark.words) * _BOLD_WIDTH / 2
        middle = min(max(x, half), WIDTH - half)
        row = 0 if middle - half >= free[0] else 1
        free[row] = middle + half + _LABEL_WIDTH
        above = plot.top - 8 - 14 * row
        drawn.append(
            Markup('<g class="mark"><path d="M{} {}V{}"/><text x="{}" y="{}">{}</text></g>').format(
                _n(x), _n(above + 4), _n(HEIGHT - _BOTTOM), _n(middle), _n(above), mark.words
            )
        )
    return Markup().join(drawn)


def _limit(plot: _Plot, limit: Limit) -> Markup:
    y = _n(plot.y(limit.value))
    return Markup(
        '<g class="limit"><path d="M{left} {y}H{right}"/><text x="{at}" y="{over}">{words}</text></g>'
    ).format(
        left=_n(_LEFT),
        right=_n(WIDTH - _RIGHT),
        y=y,
        at=_n(_LEFT + 6),
        over=_n(plot.y(limit.value) - 5),
        words=limit.words,
    )


def _band(plot: _Plot, line: Line) -> Markup:
    known = [p for p in _shown(line) if p.low is not None and p.high is not None]
    if len(known) < 2:
        return Markup()
    there = [f"{_n(plot.x(p.at))} {_n(plot.y(p.high or 0.0))}" for p in known]
    back = [f"{_n(plot.x(p.at))} {_n(plot.y(p.low or 0.0))}" for p in reversed(known)]
    kind = "band estimated" if line.estimated else "band"
    return Markup('<path class="{}" d="M{}Z"/>').format(kind, "L".join(there + back))


def _crowded(plot: _Plot, line: Line, lines: Sequence[Line]) -> bool:
    """Whether the name of a line would run into that of one which ends a little above it."""
    if not line.points:
        return False
    end = plot.y(line.points[-1].value)
    others = [plot.y(one.points[-1].value) for one in lines if one is not line and one.points]
    return any(0.0 <= end - other < _NAME_ROOM for other in others)


def _path(plot: _Plot, line: Line, *, named: bool, below: bool = False) -> Markup:
    points = _shown(line)
    if not points:
        return Markup()
    last = points[-1]
    end = plot.y(last.value)
    name_at = end + 16 if below or end < plot.top + _NAME_ROOM else end - 9
    return Markup('<g class="{}"><path d="M{}"/><circle cx="{}" cy="{}" r="3"/>{}</g>').format(
        "line muted" if line.muted else "line estimated" if line.estimated else "line",
        "L".join(f"{_n(plot.x(p.at))} {_n(plot.y(p.value))}" for p in points),
        _n(plot.x(last.at)),
        _n(end),
        Markup('<text x="{}" y="{}">{}</text>').format(_n(plot.x(last.at)), _n(name_at), line.name)
        if named
        else "",
    )


def _shown(line: Line) -> Sequence[Point]:
    return thinned(line.points, _MOST_POINTS // 2 if line.muted else _MOST_POINTS)


def thinned(points: Sequence[Point], most: int = _MOST_POINTS) -> Sequence[Point]:
    """At most ``most`` points that keep the outline: the extremes of each stretch, and both ends."""
    if len(points) <= most:
        return points
    stretch = (len(points) - 2) / (most // 2 - 1)
    kept = {0, len(points) - 1}
    for i in range(most // 2 - 1):
        among = range(1 + int(i * stretch), 1 + int((i + 1) * stretch))
        kept.add(max(among, key=lambda at: points[at].value))
        kept.add(min(among, key=lambda at: points[at].value))
    return [points[at] for at in sorted(kept)]


def sparkline(points: Sequence[Point], *, title: str, limit: float | None = None) -> Markup:
    """A small line without axes, from 0 up to its highest value or the limit."""
    if len(points) < 2:
        return Markup()
    width, height, pad = 240.0, 56.0, 6.0
    shown = thinned(points, 24)
    top = max([p.value for p in shown] + [limit or 0.0]) or 1.0
    first, last = shown[0].at, shown[-1].at

    def x(at: float) -> float:
        return pad + (at - first) / ((last - first) or 1.0) * (width - 2 * pad)

    def y(value: float) -> float:
        return height - pad - max(value, 0.0) / top * (height - 2 * pad)

    parts = []
    if limit is not None:
        rule = Markup('<g class="limit"><path d="M0 {}H{}"/></g>')
        parts.append(rule.format(_n(y(limit)), _n(width)))
    parts.append(
        Markup('<g class="line"><path d="M{}"/><circle cx="{}" cy="{}" r="5"/></g>').format(
            "L".join(f"{x(p.at):.0f} {y(p.value):.0f}" for p in shown),
            _n(x(last)),
            _n(y(shown[-1].value)),
        )
    )
    said = f"{len(points)} windows, the latest at {score(points[-1].value)}"
    return _svg("spark", width, height, title, said, parts)


def meter(value: float, *, limit: float, most: float, tone: str) -> Markup:
    """One horizontal bar with a tick at the level that matters; the caller writes the value beside it.

    Args:
        value: At least 0; above ``most`` the bar is full.
        limit: Where the tick stands.
        most: The value at the bar's right end, > 0.
        tone: The class of its colour: ``healthy``, ``watch`` or ``act``.
    """
    width = 120.0
    at = min(limit / most, 1.0) * width
    return Markup(
        '<svg class="meter" viewBox="0 0 120 12" aria-hidden="true"><path class="track" d="M0 6H120"/>'
        '<path class="bar {}" d="M0 6H{}"/><path class="tick" d="M{} 0V12"/></svg>'
    ).format(tone, _n(min(value / most, 1.0) * width), _n(at))


def stacked_bar(parts: Sequence[tuple[str, float]], *, title: str) -> Markup:
    """Shares of a whole side by side; the caller writes the legend with classes ``part-0`` on.

    Args:
        parts: Names and shares in [0, 1] that sum to 1.
        title: What is divided.
    """
    width, height = 440.0, 14.0
    drawn, at = [], 0.0
    for index, (_, share) in enumerate(parts):
        if share > 0.0:
            piece = Markup('<rect class="part-{}" x="{}" y="0" width="{}" height="14"/>')
            drawn.append(piece.format(index % 5, _n(at), _n(max(share * width - 1.5, 0.5))))
        at += share * width
    said = ", ".join(f"{name} {percent(share)}" for name, share in parts)
    return _svg("stack", width, height, title, said, drawn, fit="none")


def ramp_chart(shares: Sequence[float], *, step: int, tone: str, title: str) -> Markup:
    """A rollout's steps as bars of rising share; those reached are filled.

    Args:
        shares: The candidate's share at each step, in [0, 1].
        step: The index of the step it stands at or ended at; the number of steps means promoted.
        tone: The class of the reached steps' colour.
        title: Whose ramp.
    """
    width, height = 240.0, 66.0
    wide = width / max(len(shares), 1)
    drawn = []
    for index, share in enumerate(shares):
        tall = max(share * 44.0, 2.0)
        kind = f"step {tone}" if index <= step else "step ahead"
        drawn.append(
            Markup(
                '<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>'
                '<text class="x" x="{}" y="64">{}</text>'
            ).format(
                kind,
                _n(index * wide + 1),
                _n(50 - tall),
                _n(wide - 2),
                _n(tall),
                _n(index * wide + wide / 2),
                percent(share),
            )
        )
    reached = shares[min(step, len(shares) - 1)] if shares else 0.0
    said = f"Steps {', '.join(percent(share) for share in shares)}; reached {percent(reached)}"
    return _svg("ramp", width, height, title, said, drawn)


def _svg(
    kind: str,
    width: float,
    height: float,
    title: str,
    description: str,
    parts: Sequence[Markup],
    fit: str = "",
) -> Markup:
    return Markup('<svg class="{}" viewBox="0 0 {} {}"{} role="img">{}{}</svg>').format(
        kind,
        _n(width),
        _n(height),
        Markup(' preserveAspectRatio="{}"').format(fit) if fit else "",
        Markup("<title>{}</title><desc>{}</desc>").format(title, description),
        Markup().join(parts),
    )


def _n(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
