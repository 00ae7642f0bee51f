"""Measured and estimated performance on pages: apart, each with its interval and its word."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from trimtab.config import ModelConfig, WatchConfig
from trimtab.report.performance import (
    estimation_error,
    metric_findings,
    metric_words,
    segment_findings,
)
from trimtab.report.stakeholder import render_report
from trimtab.report.view import model_view
from trimtab.types import Comparison, Verdict
from trimtab.wiring.overview import ModelOverview

Make = Callable[..., ModelOverview]
Text = Callable[[str], str]


def guess(found: Comparison, off: float) -> Comparison:
    value = (found.current_value or 0.0) + off
    return replace(
        found,
        current_value=value,
        interval=(value - 0.02, value + 0.02),
        words=f"estimated {value:.3f}",
        estimated=True,
    )


def estimates_of(verdict: Verdict, off: float) -> Verdict:
    return replace(
        verdict,
        subject="estimated_performance",
        comparisons=tuple(guess(found, off) for found in verdict.comparisons),
        flagged=(),
        words="Estimated, not measured: Nothing has drifted.",
    )


def overviews(whole: ModelOverview, off: float) -> tuple[ModelOverview, ModelOverview]:
    """One with measurements and estimates, and one with estimates alone."""
    measured = [v for v in whole.verdicts if v.subject == "performance"]
    guessed = tuple(estimates_of(v, off) for v in measured)
    alone = tuple(v for v in whole.verdicts if v.subject != "performance")
    return (
        replace(whole, verdicts=whole.verdicts + guessed),
        replace(whole, verdicts=alone + guessed),
    )


@pytest.mark.parametrize(("off", "inside"), [(0.01, True), (0.03, False)])
def test_once_outcomes_arrive_the_estimates_own_error_stands_beside_them(
    overview_of: Make, text_of: Text, *, off: float, inside: bool
) -> None:
    both, _ = overviews(overview_of(), off)
    error = estimation_error(both, "roc_auc")
    assert error is not None
    assert error.mean_absolute == pytest.approx(off)
    assert (error.inside == error.windows) is inside
    text = text_of(render_report(both, config=ModelConfig(), now=1.4e9))
    assert f"off by {off:.3f}, {error.inside} of {error.windows} inside" in text


def test_what_is_estimated_alone_is_never_in_the_place_of_a_measurement(
    overview_of: Make, text_of: Text
) -> None:
    _, alone = overviews(overview_of(), 0.01)
    view = model_view(alone, ModelConfig(), WatchConfig())
    assert (0, 3) == (len(view.metrics), len(view.estimates))
    text = text_of(render_report(alone, config=ModelConfig(), now=1.4e9))
    assert "Metric Held-out Estimated (95 % interval) accuracy 0.806" in text
    assert "nothing has been measured" in text
    assert "Measured 95 % interval" not in text
    assert "Estimates of performance are no measurements." in text


def test_every_estimated_value_on_a_page_has_its_interval(overview_of: Make, text_of: Text) -> None:
    for overview in overviews(overview_of(), 0.01):
        text = text_of(render_report(overview, config=ModelConfig(), now=1.4e9))
        for found in metric_findings(overview):
            assert found.estimate is not None
            assert found.estimate.interval is not None
            low, high = found.estimate.interval
            value = found.estimate.current_value
            assert f"{value:.3f} ({low:.3f} to {high:.3f})" in text


def test_segments_that_got_worse_come_first(overview_of: Make, text_of: Text) -> None:
    whole = overview_of()
    newest = whole.latest("performance")
    assert newest is not None
    one = replace(newest.comparisons[0], segment="country = de", name="accuracy, country = de")
    bad = replace(newest.comparisons[0], segment="country = fr", name="accuracy, country = fr")
    judged = replace(newest, comparisons=(*newest.comparisons, one, bad), flagged=(bad.name,))
    later = replace(judged, end=newest.end + 1.0)
    shown = replace(whole, verdicts=(*whole.verdicts, later))
    assert [("country = fr", True), ("country = de", False)] == [
        (found.segment, found.worse) for found in segment_findings(shown)
    ]
    assert "By segment" in text_of(render_report(shown, config=ModelConfig(), now=1.4e9))


def test_metrics_have_names_for_people() -> None:
    assert ["NDCG at 5", "hit rate at 10", "F1 score", "log loss"] == [
        metric_words(name) for name in ("ndcg_at_5", "hit_rate_at_10", "f1", "log_loss")
    ]
