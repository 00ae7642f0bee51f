"""Size against AUC of every lossy step, on a forest and on boosted trees: one table and one picture.

``curves.py [--picture FILE] [--rows N] [--trees N]``: trains both models on made-up rows, offers each step
what it takes (the compact form, or the model itself), writes what it offers as a file, and measures
the loss on rows that had no part in it, with the interval of the paired difference (DeLong). The
picture is SVG; sizes are on a logarithmic axis.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from trimtab.optimize.catalogue import STEPS
from trimtab.optimize.forms import NativeForm
from trimtab.optimize.losses import auc_change
from trimtab.optimize.steps.compact import Compact
from trimtab.types import Ground, Rows, Task

HELD = 6_000
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b")
WIDTH, HEIGHT, LEFT, TOP, LEGEND = 460, 320, 60, 40, 190


class Point(NamedTuple):
    """What one form takes and loses."""

    step: str
    words: str
    size: int
    auc: float
    loss: float
    low: float
    high: float


def curve(name: str, model: Any, ground: Ground) -> list[Point]:
    """The points of every step; the first is the lossless form."""
    native = NativeForm(model)
    ((_, small),) = Compact().offers(native, ground)
    outcomes = ground.certify.outcomes
    assert outcomes is not None
    positive = outcomes > 0
    whole = native.outputs(ground.certify.X)[:, 1]
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as folder:

        def add(step: str, words: str, form: Any) -> None:
            size = form.write(Path(folder) / f"{len(points)}").disk_bytes
            lost = auc_change(whole, form.outputs(ground.certify.X)[:, 1], positive)
            points.append(Point(step, words, size, lost.after, lost.loss, lost.low, lost.high))
            print(
                f"{name:10} {step:16} {words:38} {size / 1e3:10,.0f} kB  AUC {lost.after:.4f}"
                f"  loss {lost.loss:+.4f} [{lost.low:+.4f}, {lost.high:+.4f}]",
                flush=True,
            )

        add("original", "as its library writes it", native)
        add("compact", "lossless", small)
        for step in STEPS:
            if step.lossless:
                continue
            started = time.perf_counter()
            offers = [*step.offers(small, ground)] or [*step.offers(native, ground)]
            for words, offered in offers:
                packed = [form for _, form in Compact().offers(offered, ground)]
                add(step.name, words, (packed or [offered])[0])
            if offers:
                print(f"{'':10} {step.name} took {time.perf_counter() - started:.1f} s")
    return points


def picture(curves: dict[str, list[Point]]) -> str:
    """One panel a model, one line a step."""
    steps = sorted({p.step for points in curves.values() for p in points} - {"original", "compact"})
    colours = dict(zip(steps, COLOURS, strict=False))
    total = LEFT + len(curves) * WIDTH + LEGEND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {HEIGHT + 90}">',
        '<g font-family="sans-serif" font-size="12" fill="#333"><title>Size against AUC by step</title>',
        f'<rect width="{total}" height="{HEIGHT + 90}" fill="#fff"/>',
    ]
    for place, (name, points) in enumerate(curves.items()):
        parts += panel(name, points, colours, LEFT + place * WIDTH)
    for place, (step, colour) in enumerate(colours.items()):
        y = TOP + 20 * place
        x = LEFT + len(curves) * WIDTH + 10
        parts.append(
            f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}"/><text x="{x + 12}" y="{y + 4}">{step}</text>'
        )
    return "\n".join([*parts, "</g></svg>", ""])


def panel(name: str, points: list[Point], colours: dict[str, str], left: int) -> list[str]:
    """A panel's axes, lines and dots."""
    sizes = [math.log10(p.size) for p in points]
    areas = [p.auc for p in points]
    low, high = math.floor(min(sizes)), math.ceil(max(sizes))
    bottom, top = math.floor(min(areas) * 50) / 50, math.ceil(max(areas) * 50) / 50
    inner = WIDTH - 80

    def at(point: Point) -> tuple[float, float]:
        x = left + inner * (math.log10(point.size) - low) / (high - low)
        return x, TOP + HEIGHT * (top - point.auc) / (top - bottom)

    parts = [
        f'<text x="{left}" y="{TOP - 16}" font-weight="bold">{name}</text>',
        f'<path d="M{left} {TOP}V{TOP + HEIGHT}H{left + inner}" fill="none" stroke="#999"/>',
        f'<text x="{left + inner / 2}" y="{TOP + HEIGHT + 38}" text-anchor="middle">bytes on disk</text>',
        f'<text x="{left + 6}" y="{TOP + 4}" fill="#777">AUC</text>',
    ]
    for power in range(low, high + 1):
        x = left + inner * (power - low) / (high - low)
        label = {
            3: "1 kB",
            4: "10 kB",
            5: "100 kB",
            6: "1 MB",
            7: "10 MB",
            8: "100 MB",
            9: "1 GB",
        }.get(power, f"1e{power}")
        parts.append(
            f'<text x="{x:.0f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{label}</text>'
        )
    for share in (0.0, 0.5, 1.0):
        y = TOP + HEIGHT * (1 - share)
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{bottom + share * (top - bottom):.2f}</text>'
        )
    for step, colour in colours.items():
        mine = sorted((p for p in points if p.step == step), key=lambda p: p.size)
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, mine))
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"><title>{p.words}</title></circle>'
                  for p, (x, y) in zip(mine, map(at, mine), strict=True)]  # fmt: skip
    for step in ("original", "compact"):
        x, y = at(next(p for p in points if p.step == step))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="none" stroke="#333" stroke-width="2"/>'
            f'<text x="{x + 9:.1f}" y="{y + 4:.1f}" font-weight="bold">{step}</text>'
        )
    return parts


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--trees", type=int, default=30)
    given = parser.parse_args(arguments)
    X, y = make_classification(
        given.rows + 2 * HELD, 20, n_informative=12, n_clusters_per_class=8, flip_y=0.15,
        class_sep=0.7, random_state=0,
    )  # fmt: skip
    train, fit, held = np.split(np.arange(len(y)), [given.rows, given.rows + HELD])
    ground = Ground(
        task=Task.BINARY,
        fit=Rows(X=X[fit], outcomes=y[fit]),
        choose=Rows(X=X[fit], outcomes=y[fit]),
        certify=Rows(X=X[held], outcomes=y[held]),
    )
    models = {
        "forest": RandomForestClassifier(given.trees, n_jobs=2, random_state=0),
        "boosting": HistGradientBoostingClassifier(max_iter=5 * given.trees, random_state=0),
    }
    curves: dict[str, list[Point]] = {}
    for name, model in models.items():
        curves[name] = curve(name, model.fit(X[train], y[train]), ground)
        if given.picture is not None:
            given.picture.write_text(picture(curves), encoding="utf-8")
            print(f"wrote {given.picture}")


if __name__ == "__main__":
    main()
