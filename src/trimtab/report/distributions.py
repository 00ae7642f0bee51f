"""Two distributions of one feature over each other, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from trimtab.report.words import number, percent
from trimtab.sketch import Binning, Sketch, quantile, standardised, value_of
from trimtab.types import FeatureKind, FloatArray, Record

_WIDTH, _HEIGHT, _FOOT = 320.0, 104.0, 16.0
_BINS = 36
_FEW_VALUES = 12
_MOST_BARS = 7
_ROW = 22.0


class Picture(Record, frozen=True):
    """One feature's two distributions."""

    name: str
    binning: Binning
    reference: Sketch
    current: Sketch
    unit: str = ""


def distribution(picture: Picture) -> Markup:
    """The reference as a grey area, the current data as a line; categories as pairs of bars."""
    if not picture.binning.bits or _is_discrete(picture):
        return _bars(_categories(picture), picture.name)
    return _densities(picture)


def _is_discrete(picture: Picture) -> bool:
    codes = np.union1d(picture.reference.codes, picture.current.codes)
    return picture.binning.kind is FeatureKind.BOOLEAN or len(codes) <= _FEW_VALUES


def _categories(picture: Picture) -> list[tuple[str, float, float]]:
    """Names with their share before and now, those that moved most first; the rest as one."""
    before, now = (_shares(picture, one) for one in (picture.reference, picture.current))
    names = sorted({*before, *now}, key=lambda n: (-max(before.get(n, 0), now.get(n, 0)), n))
    if picture.binning.bits:
        names = sorted(names, key=_as_number)
        shown = names[:_FEW_VALUES]
    else:
        moved = sorted(names, key=lambda n: -abs(now.get(n, 0) - before.get(n, 0)))[:_MOST_BARS]
        shown = [name for name in names if name in moved]
    rows = [(name, before.get(name, 0.0), now.get(name, 0.0)) for name in shown]
    rest = [name for name in names if name not in shown]
    if rest:
        others = (sum(before.get(n, 0.0) for n in rest), sum(now.get(n, 0.0) for n in rest))
        rows.append((f"{len(rest)} others", *others))
    return rows


def _shares(picture: Picture, found: Sketch) -> dict[str, float]:
    rows = max(found.rows, 1)
    shares: dict[str, float] = {}
    for code, count in zip(found.codes.tolist(), found.counts.tolist(), strict=True):
        name = _name(picture.binning, code)
        shares[name] = shares.get(name, 0.0) + count / rows
    shares |= {name: count / rows for name, count in found.fresh.items()}
    if found.overflow:
        shares["more new ones"] = found.overflow / rows
    if found.missing:
        shares["missing"] = found.missing / rows
    return shares


def _name(binning: Binning, code: int) -> str:
    if not binning.bits:
        return binning.categories[code]
    value = value_of(binning, code)
    if binning.kind is FeatureKind.BOOLEAN:
        return "true" if value > 0 else "false"
    return number(value) if np.isfinite(value) else str(value)


def _as_number(name: str) -> tuple[bool, float]:
    try:
        return False, float(name.replace(",", ""))
    except ValueError:
        return True, 0.0


def _bars(rows: Sequence[tuple[str, float, float]], title: str) -> Markup:
    most = max((max(before, now) for _, before, now in rows), default=1.0) or 1.0
    height = _ROW * len(rows)
    left, wide = 104.0, 124.0
    drawn = []
    for at, (name, before, now) in enumerate(rows):
        top = at * _ROW
        drawn.append(
            Markup(
                '<text class="cat" x="{}" y="{}">{}</text>'
                '<rect class="ref" x="{}" y="{}" width="{}" height="7"/>'
                '<rect class="cur" x="{}" y="{}" width="{}" height="7"/>'
                '<text class="share" x="{}" y="{}">{}</text>'
            ).format(
                _n(left - 8), _n(top + 13), _cut(name),
                _n(left), _n(top + 2), _n(max(before / most * wide, 0.5)),
                _n(left), _n(top + 10), _n(max(now / most * wide, 0.5)),
                _n(left + max(before, now) / most * wide + 5), _n(top + 13),
                f"{_share(before)} → {_share(now)}",
            )
        )  # fmt: skip
    said = "; ".join(f"{name} {percent(before)} → {percent(now)}" for name, before, now in rows)
    return _svg(height, title, said, drawn)


def _densities(picture: Picture) -> Markup:
    low, high = _range(picture)
    edges = np.linspace(low, high, _BINS + 1)
    before = _heights(picture.binning, picture.reference, edges)
    now = _heights(picture.binning, picture.current, edges)
    most = max(before.max(), now.max()) or 1.0
    xs = (edges - low) / (high - low) * _WIDTH
    floor = _HEIGHT - _FOOT
    drawn = [
        Markup('<path class="ref" d="{}"/>').format(_steps(xs, before / most, floor, closed=True)),
        Markup('<path class="cur" d="{}"/>').format(_steps(xs, now / most, floor, closed=False)),
        Markup('<path class="axis" d="M0 {}H{}"/>').format(_n(floor), _n(_WIDTH)),
    ]
    marks = (low, (low + high) / 2, high)
    for at, anchor in zip(marks, ("start", "middle", "end"), strict=True):
        unit = f" {picture.unit}" if picture.unit and anchor == "end" else ""
        drawn.append(
            Markup('<text class="x" style="text-anchor:{}" x="{}" y="{}">{}{}</text>').format(
                anchor, _n((at - low) / (high - low) * _WIDTH), _n(_HEIGHT - 3), number(at), unit
            )
        )
    middle = [quantile(picture.binning, s, 0.5) for s in (picture.reference, picture.current)]
    said = f"median {number(middle[0])} in the reference, {number(middle[1])} now"
    return _svg(_HEIGHT, picture.name, said, drawn)


def _range(picture: Picture) -> tuple[float, float]:
    """Where all but 1 % of either side lie at each end."""
    sides = [one for one in (picture.reference, picture.current) if len(one.codes)]
    low = min(quantile(picture.binning, one, 0.01) for one in sides)
    high = max(quantile(picture.binning, one, 0.99) for one in sides)
    if not (np.isfinite(low) and np.isfinite(high)):
        low, high = picture.binning.median - picture.binning.scale, picture.binning.median
        high += picture.binning.scale
    return (low, high) if high > low else (low - 1.0, high + 1.0)


def _heights(binning: Binning, found: Sketch, edges: FloatArray) -> FloatArray:
    """The share of rows in each bin; what lies beyond the picture is left out."""
    if not len(found.codes):
        return np.zeros(len(edges) - 1)
    places = binning.median + binning.scale * standardised(binning.bits, found.codes)
    finite = np.isfinite(places)
    places, counts = places[finite], found.counts[finite]
    if not len(places):
        return np.zeros(len(edges) - 1)
    # Rows are spread between the middles of neighbouring bins, so that wide bins leave no gaps.
    middles = (places[1:] + places[:-1]) / 2
    ends = np.concatenate(([places[0] - 1e-9], middles, [places[-1] + 1e-9]))
    through = np.concatenate(([0.0], np.cumsum(counts) / found.rows))
    return np.diff(np.interp(edges, ends, through))


def _steps(xs: FloatArray, heights: FloatArray, floor: float, *, closed: bool) -> str:
    tall = floor - 6.0
    parts = [f"M{_n(xs[0])} {_n(floor)}"]
    for x, height in zip(xs[1:], heights, strict=True):
        parts.append(f"V{_n(floor - height * tall)}H{_n(x)}")
    parts.append(f"V{_n(floor)}")
    return "".join(parts) + ("Z" if closed else "")


def _svg(height: float, title: str, said: str, drawn: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="dist" viewBox="0 0 {} {}" role="img"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(_n(_WIDTH), _n(height), title, said, Markup().join(drawn))


def _share(share: float) -> str:
    return f"{share:.0%}".replace("%", " %") if share >= 0.01 or not share else "< 1 %"


def _cut(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
