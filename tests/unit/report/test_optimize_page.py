"""The page of a plan, and its picture."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from trimtab.optimize.agreement import Agreement
from trimtab.optimize.planner import Plan, Trial
from trimtab.report.optimize_page import cost_rows, render_optimize, size
from trimtab.report.scatter import HEIGHT, WIDTH, Axis, Dot, log_ticks, scatter
from trimtab.types import Certificate, Footprint, MetricChange, SegmentChange

MANY, FEW = 200_000_000, 10_000_000


def costs(rss: int | None, us: float) -> Footprint:
    return Footprint(
        disk_bytes=rss or 5, rss_bytes=rss, pss_bytes=None, workers=4, load_ms=1.5, p50_us=us,
        p99_us=2 * us, rows_per_s=1e6 / us,
    )  # fmt: skip


def lost(loss: float) -> MetricChange:
    return MetricChange(
        metric="roc_auc", before=0.9, after=0.9 - loss, loss=loss, low=loss - 0.001,
        high=loss + 0.001, method="paired DeLong",
    )  # fmt: skip


def trial(name: str, rss: int | None, us: float, loss: float, **more: object) -> Trial:
    agreed = Agreement(
        rows=500, max_abs=abs(loss) * 9, mean_abs=0.0, flips=3, metrics=(lost(loss),)
    )
    fields: dict[str, object] = {"steps": (name,), "lossless": False, "unmet": (), **more}
    return Trial(name=name, costs=costs(rss, us), agreed=agreed, **fields)  # type: ignore[arg-type]


SEGMENT = SegmentChange(
    column="kind", value="<b>", rows=300, change=lost(0.001), budget=0.006, within=True
)
CERTIFICATE = Certificate(
    plan="50 of 100 trees", steps=("compact", "fewer trees"), lossless=False, budget="auc<=0.002",
    original="sha256:0", rows=900, max_abs=0.02, mean_abs=0.001, threshold=0.5, flips=1,
    path_differences=None, metrics=(lost(0.0007),), segments=(SEGMENT,), before=costs(MANY, 5000.0),
    after=costs(FEW, 10.0), machine="Linux", made_at=0.0, notes=("9 rows are left out",),
)  # fmt: skip
TRIALS = (
    trial("original", MANY, 5000.0, 0.0, steps=(), lossless=True),
    trial("compact", 2 * FEW, 12.0, 0.0, lossless=True, front=True),
    trial("50 of 100 trees", FEW, 10.0, 0.0007, chosen=True, front=True),
    trial("6 of 100 trees", 1_000_000, 4.0, 0.03, unmet=("loses 0.03 of auc", "max_abs is 0.3")),
)
PLAN = Plan(
    budget="auc<=0.002", trials=TRIALS, reached=True, certificate=CERTIFICATE,
    words="50 of 100 trees is kept. After 5 s no more was tried; unfinished: distil.",
)  # fmt: skip


def test_the_page_shows_what_was_kept_and_every_loser(
    unbalanced: Callable[[str], list[str]],
) -> None:
    page = render_optimize(PLAN, "forest.joblib", "rows.parquet")
    assert [] == unbalanced(page)
    assert "Certified" in page
    assert "500 × better" in page
    assert "on other rows. After 5 s no more was tried; unfinished: distil.</p>" in page
    assert "1 decision changed" in page
    assert all(tried.name in page for tried in TRIALS)
    assert "loses 0.03 of auc, and 1 more" in page
    assert "9 rows are left out" in page
    assert "&lt;b&gt;" in page
    assert "<b>&lt;" not in page


def test_an_unreached_budget_says_that_nothing_changed(
    unbalanced: Callable[[str], list[str]],
) -> None:
    plan = Plan(
        budget="p99<=1us",
        trials=TRIALS,
        reached=False,
        words="Nearest: <compact>",
        certificate=None,
    )
    page = render_optimize(plan, "m", "d")
    assert [] == unbalanced(page)
    assert "nothing changed" in page
    assert "Nearest: &lt;compact&gt;" in page


def test_without_outcomes_the_picture_shows_differences() -> None:
    bare = Agreement(rows=5, max_abs=0.1, mean_abs=0.0, flips=0, metrics=())
    plain = Trial(name="original", steps=(), lossless=True, costs=costs(None, 5.0), agreed=bare,
                  unmet=())  # fmt: skip
    page = render_optimize(
        Plan(budget="", trials=(plain,), reached=True, words="", certificate=None), "m", "d"
    )
    assert "Largest difference of outputs" in page


def test_costs_say_how_many_times_better() -> None:
    rows = {row.name: row.ratio for row in cost_rows(CERTIFICATE)}
    assert rows["Resident"] == "20 × better"
    assert rows["Single row, median"] == "500 × better"
    assert rows["Loading"] == "the same"
    assert rows["A worker's part, 4 workers"] == "not measured here"


def test_every_dot_lies_within_the_picture_and_has_its_words() -> None:
    dots = [
        Dot(x=10.0**place, y=5.0 * place + 1, tone="out", words=f"form {place}", name="a" * 30)
        for place in range(7)
    ]
    axis = Axis("size", size)
    svg = ElementTree.fromstring(  # noqa: S314 - our own drawing
        scatter(dots, axis, axis, title="t", description="d")
    )
    circles = svg.findall("circle")
    assert [circle[0].text for circle in circles] == [dot.words for dot in dots]
    assert all(0 < float(circle.attrib["cx"]) < WIDTH for circle in circles)
    assert all(0 < float(circle.attrib["cy"]) < HEIGHT for circle in circles)
    heights = [float(text.attrib["y"]) for text in svg.findall("text[@text-anchor]")]
    assert len(heights) == 7


def test_no_dots_no_picture() -> None:
    assert not scatter([], Axis("x", size), Axis("y", size), title="", description="")


@pytest.mark.parametrize(("low", "high"), [(0.5, 3.0), (1.0, 1e9), (9.0, 11.0)])
def test_logarithmic_axes_have_ticks_within_their_range(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert len(ticks) >= 1
    assert all(low <= tick <= high for tick in ticks)
