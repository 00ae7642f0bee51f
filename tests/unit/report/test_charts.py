from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from trimtab.report.charts import (
    HEIGHT,
    WIDTH,
    Limit,
    Line,
    Mark,
    Point,
    line_chart,
    meter,
    ramp_chart,
    sparkline,
    stacked_bar,
    thinned,
)
from trimtab.report.ticks import number_ticks, time_ticks

DAY = 86_400.0


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own drawing


def ramp_of(count: int) -> tuple[Point, ...]:
    return tuple(Point(at=i * DAY, value=i / count) for i in range(count))


def test_a_line_chart_is_named_and_described_for_people_who_do_not_see_it() -> None:
    svg = drawn(
        line_chart(
            [Line(name="v1", points=ramp_of(5))],
            title="Accuracy over time",
            description="5 windows.",
        )
    )
    assert svg.attrib["role"] == "img"
    assert [svg.findtext("title"), svg.findtext("desc")] == ["Accuracy over time", "5 windows."]


def test_a_line_starts_and_ends_where_its_points_do() -> None:
    svg = drawn(
        line_chart(
            [Line(name="v1", points=(Point(at=0.0, value=0.0), Point(at=DAY, value=1.0)))],
            title="",
            description="",
            from_zero=True,
        )
    )
    path = svg.find("./g[@class='line']/path")
    assert path is not None
    assert path.attrib["d"] == f"M40 {HEIGHT - 24:g}L{WIDTH - 10:g} 12"


def test_a_constant_series_and_a_single_point_can_be_drawn() -> None:
    one = line_chart(
        [Line(name="v1", points=(Point(at=5.0, value=0.5),))], title="", description=""
    )
    flat = line_chart(
        [Line(name="v1", points=tuple(Point(at=float(i), value=0.0) for i in range(9)))],
        title="",
        description="",
    )
    assert [drawn(one).tag, drawn(flat).tag] == ["svg", "svg"]


def test_no_points_draw_nothing() -> None:
    assert line_chart([Line(name="v1", points=())], title="", description="") == ""
    assert sparkline((), title="") == ""


def test_marks_outside_of_the_span_are_left_out_and_near_ones_do_not_overlap() -> None:
    marks = [Mark(at=at * DAY, words=f"v{at} promoted") for at in (3, 4, 99)]
    svg = drawn(
        line_chart([Line(name="v1", points=ramp_of(30))], title="", description="", marks=marks)
    )
    labels = svg.findall("./g[@class='mark']/text")
    assert [label.text for label in labels] == ["v3 promoted", "v4 promoted"]
    assert labels[0].attrib["y"] != labels[1].attrib["y"]


def test_only_several_lines_bear_their_names() -> None:
    lines = [
        Line(name="v1", points=ramp_of(4), muted=True),
        Line(name="v2", points=ramp_of(4)),
    ]
    both = drawn(line_chart(lines, title="", description=""))
    alone = drawn(line_chart(lines[1:], title="", description=""))
    assert [text.text for text in both.findall("./g/text")] == ["v1", "v2"]
    assert alone.findall("./g/text") == []


def test_an_interval_is_drawn_as_a_band_only_where_it_is_known() -> None:
    known = tuple(Point(at=float(i), value=0.5, low=0.4, high=0.6) for i in range(3))
    banded = drawn(line_chart([Line(name="v1", points=known)], title="", description=""))
    plain = drawn(line_chart([Line(name="v1", points=ramp_of(3))], title="", description=""))
    assert [len(svg.findall("./path[@class='band']")) for svg in (banded, plain)] == [1, 0]


def test_a_limit_lies_within_the_axis() -> None:
    svg = drawn(
        line_chart(
            [Line(name="v1", points=(Point(at=0.0, value=0.01), Point(at=1.0, value=0.02)))],
            title="",
            description="",
            limit=Limit(value=0.1, words="threshold 0.1"),
            from_zero=True,
        )
    )
    text = svg.find("./g[@class='limit']/text")
    assert text is not None
    assert text.text == "threshold 0.1"
    assert 0.0 < float(text.attrib["y"]) < HEIGHT / 4


def test_what_is_written_into_a_chart_is_escaped() -> None:
    bad = "<script>alert(1)</script>"
    svg = line_chart(
        [Line(name=bad, points=ramp_of(3)), Line(name=bad, points=ramp_of(3))],
        title=bad,
        description=bad,
        limit=Limit(value=0.5, words=bad),
        marks=[Mark(at=DAY, words=bad)],
    )
    assert "<script" not in svg
    assert drawn(svg).findtext("title") == bad


def test_thinning_keeps_both_ends_and_the_extremes() -> None:
    points = [Point(at=float(i), value=0.0) for i in range(1_000)]
    points[417] = Point(at=417.0, value=9.0)
    points[733] = Point(at=733.0, value=-9.0)
    kept = thinned(points, 60)
    assert len(kept) <= 60
    assert [kept[0].at, kept[-1].at] == [0.0, 999.0]
    assert {417.0, 733.0} <= {point.at for point in kept}


def test_a_meter_is_full_at_most() -> None:
    svg = drawn(meter(7.0, limit=0.1, most=0.5, tone="watch"))
    assert [path.attrib["d"] for path in svg.findall("path")] == [
        "M0 6H120",
        "M0 6H120",
        "M24 0V12",
    ]


def test_a_stacked_bar_divides_by_share_and_says_so() -> None:
    svg = drawn(stacked_bar([("realtime", 0.75), ("default", 0.25), ("batch", 0.0)], title="Where"))
    assert [rect.attrib["x"] for rect in svg.findall("rect")] == ["0", "330"]
    assert svg.findtext("desc") == "realtime 75 %, default 25 %, batch 0 %"


def test_a_ramp_fills_the_steps_that_were_reached() -> None:
    svg = drawn(ramp_chart([0.01, 0.1, 0.5], step=1, tone="act", title="Ramp"))
    kinds = [rect.attrib["class"] for rect in svg.findall("rect")]
    assert kinds == ["step act", "step act", "step ahead"]


@pytest.mark.parametrize("days", [0.01, 0.5, 3, 20, 90, 300, 900, 4_000])
def test_time_is_marked_a_few_times_and_within_the_span(days: float) -> None:
    start = 1_357_000_123.0
    end = start + days * DAY
    ticks = [at for at, _ in time_ticks(start, end)]
    assert 1 <= len(ticks) <= 8
    assert start <= min(ticks) <= max(ticks) <= end


@pytest.mark.parametrize("seconds", [6, 30, 100, 180, 300, 900, 5_400, 86_400, 604_800])
def test_moments_do_not_run_into_each_other(seconds: float) -> None:
    start = 1_356_998_400.0  # a midnight, so that the last moment stands at the edge
    line = Line(name="a", points=tuple(Point(at=start + i * seconds, value=1.0) for i in (0, 1)))
    labels = drawn(line_chart([line], title="A", description="")).findall("text[@class='x']")
    spans = [(float(one.attrib["x"]), len(str(one.text)) * 6.2 / 2) for one in labels]
    for (at, half), (then, other) in pairwise(spans):
        assert at + half + 6.2 <= then - other


@pytest.mark.parametrize(("low", "high"), [(0.0, 1e-6), (-3.0, 7.0), (0.71, 0.745), (0.0, 9e7)])
def test_numbers_are_marked_around_the_values(low: float, high: float) -> None:
    ticks = number_ticks(low, high)
    assert ticks[0] <= low < high <= ticks[-1] * (1 + 1e-9)
    assert 3 <= len(ticks) <= 7
