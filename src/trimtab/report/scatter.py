"""Points in a plane of two logarithmic or plain axes, as inline SVG like the other charts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from trimtab.report.ticks import number_ticks
from trimtab.types import Record

WIDTH, HEIGHT = 440.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 14.0, 14.0, 44.0
_LETTER, _LINE = 6.3, 14.0


class Dot(Record, frozen=True):
    """One point. ``tone`` is a class of the style sheet; a ``name`` is written beside it."""

    x: float
    y: float
    tone: str
    words: str
    name: str = ""
    large: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows, how its values are written, and whether it is logarithmic."""

    title: str
    label: Callable[[float], str]
    log: bool = True


@dataclass(frozen=True, slots=True)
class _Scale:
    axis: Axis
    low: float
    high: float
    ticks: tuple[float, ...]
    start: float
    end: float

    def at(self, value: float) -> float:
        low, high, value = (self._linear(v) for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def _linear(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.axis.log else value


def scatter(dots: Sequence[Dot], x: Axis, y: Axis, *, title: str, description: str) -> Markup:
    """Dots by two measures, both better towards the lower left; later dots lie on top.

    Args:
        dots: On a logarithmic axis above 0.
        x: The horizontal axis.
        y: The vertical axis.
        title: What is shown, for people who do not see it.
        description: What it says.

    Returns:
        An ``<svg>`` element, or an empty text without dots.
    """
    if not dots:
        return Markup()
    across = _scale(x, [dot.x for dot in dots], _LEFT, WIDTH - _RIGHT)
    up = _scale(y, [dot.y for dot in dots], HEIGHT - _BOTTOM, _TOP)
    parts = [_grid(across, up), *(_dot(dot, across, up) for dot in dots), _names(dots, across, up)]
    head = Markup("<title>{}</title><desc>{}</desc>").format(title, description)
    return Markup('<svg class="chart scatter" viewBox="0 0 {} {}" role="img">{}{}</svg>').format(
        _n(WIDTH), _n(HEIGHT), head, Markup().join(parts)
    )


def _scale(axis: Axis, values: Sequence[float], start: float, end: float) -> _Scale:
    low, high = min(values), max(values)
    if axis.log:
        low, high = max(low, 1e-12) / 1.35, max(high, 1e-12) * 1.35
        return _Scale(axis, low, high, log_ticks(low, high), start, end)
    spare = (high - low) * 0.06 or abs(high) * 0.01 or 1.0
    ticks = number_ticks(low - spare, high + spare)
    return _Scale(axis, ticks[0], ticks[-1], tuple(ticks), start, end)


def log_ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Powers of ten between two values, with 2 and 5 between them where there is room.

    >>> log_ticks(0.9, 30.0)
    (1.0, 2.0, 5.0, 10.0, 20.0)
    >>> log_ticks(0.9, 2e6)
    (1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0, 1000000.0)
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    tens = [10.0**power for power in range(first, last + 1)]
    ticks: tuple[float, ...] = ()
    for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        ticks = tuple(step * ten for ten in tens for step in steps if low <= step * ten <= high)
        if len(ticks) <= most:
            return ticks
    return ticks


def _grid(across: _Scale, up: _Scale) -> Markup:
    bottom, rows = HEIGHT - _BOTTOM, []
    for value in up.ticks:
        y = up.at(value)
        rows.append(
            Markup(
                '<path class="grid" d="M{} {}H{}"/><text class="y" x="{}" y="{}">{}</text>'
            ).format(
                _n(_LEFT), _n(y), _n(WIDTH - _RIGHT), _n(_LEFT - 7), _n(y + 4), up.axis.label(value)
            )
        )
    for value in across.ticks:
        x = across.at(value)
        rows.append(
            Markup(
                '<path class="grid" d="M{} {}V{}"/><text class="x" x="{}" y="{}">{}</text>'
            ).format(_n(x), _n(_TOP), _n(bottom), _n(x), _n(bottom + 16), across.axis.label(value))
        )
    rows.append(
        Markup('<path class="axis" d="M{} {}V{}"/><path class="axis" d="M{} {}H{}"/>').format(
            _n(_LEFT), _n(_TOP), _n(bottom), _n(_LEFT), _n(bottom), _n(WIDTH - _RIGHT)
        )
    )
    rows.append(
        Markup('<text class="x" x="{}" y="{}">{}</text>').format(
            _n((_LEFT + WIDTH - _RIGHT) / 2), _n(HEIGHT - 6), across.axis.title
        )
    )
    return Markup().join(rows)


def _dot(dot: Dot, across: _Scale, up: _Scale) -> Markup:
    return Markup(
        '<circle class="dot {}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>'
    ).format(
        dot.tone, _n(across.at(dot.x)), _n(up.at(dot.y)), "6.5" if dot.large else "4", dot.words
    )


def _names(dots: Sequence[Dot], across: _Scale, up: _Scale) -> Markup:
    """Names beside their dots, on the side with room, moved up until they touch none before."""
    written: list[tuple[float, float, float]] = []
    found = []
    for dot in sorted((d for d in dots if d.name), key=lambda d: -up.at(d.y)):
        x, y, wide = across.at(dot.x), up.at(dot.y) + 4, len(dot.name) * _LETTER
        right = x + 11 + wide < WIDTH
        left = x + 11 if right else x - 11 - wide
        while any(
            abs(y - other) < _LINE and left < stop and start < left + wide
            for start, stop, other in written
        ):
            y -= _LINE
        written.append((left, left + wide, y))
        found.append(
            Markup('<text class="name {}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                dot.tone,
                _n(x + 11 if right else x - 11),
                _n(y),
                "start" if right else "end",
                dot.name,
            )
        )
    return Markup().join(found)


def _n(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")
