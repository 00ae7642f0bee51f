from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from trimtab.config import ModelConfig, WatchConfig
from trimtab.report.stakeholder import render_report
from trimtab.report.view import ModelView, model_view
from trimtab.types import RolloutState, State
from trimtab.wiring.overview import ModelOverview

DAY = 86_400.0
Make = Callable[..., ModelOverview]


def view_of(overview: ModelOverview) -> ModelView:
    return model_view(overview, ModelConfig(outcome="arrival delay"), WatchConfig())


def test_live_since_is_when_the_champion_became_it(overview_of: Make) -> None:
    whole = overview_of()
    found = view_of(whole).live_since
    assert found is not None
    assert [found.action, found.detail["candidate"]] == ["promote", 2]


def test_after_a_promotion_was_undone_the_control_is_live_since_then(overview_of: Make) -> None:
    whole = overview_of()
    assert whole.route is not None
    undone = replace(
        whole.events[-1],
        detail={
            "rollout": "flights_late-0001",
            "control": 1,
            "candidate": 2,
            "after_promotion": True,
        },
    )
    route = replace(whole.route, arms=(replace(whole.route.arms[0], version=1),))
    found = view_of(replace(whole, route=route, events=(*whole.events[:-1], undone))).live_since
    assert found == undone


def test_a_feature_is_flagged_since_the_start_of_its_unbroken_run(overview_of: Make) -> None:
    whole = overview_of()
    history = [v for v in whole.verdicts if (v.subject, v.version) == ("data_drift", 2)]
    quiet = max(v.start for v in history if "temperature" not in v.flagged)
    found = next(f for f in view_of(whole).features if f.comparison.name == "temperature")
    assert found.since == quiet + DAY


def test_a_steady_feature_is_since_nothing(overview_of: Make) -> None:
    found = next(f for f in view_of(overview_of()).features if f.comparison.name == "weekday")
    assert [found.since, found.tone] == [None, "healthy"]


def test_a_feature_is_far_above_the_retraining_threshold(overview_of: Make) -> None:
    whole = overview_of()
    low = WatchConfig(retrain_threshold=0.14)
    tones = {f.comparison.name: f.tone for f in model_view(whole, ModelConfig(), low).features[:2]}
    assert tones == {"temperature": "act", "dew_point": "watch"}


def test_windows_without_enough_data_are_not_drawn_and_that_is_said(overview_of: Make) -> None:
    whole = overview_of(days=200)
    last = max(v.end for v in whole.verdicts if v.subject == "data_drift" and v.version == 2)
    thin = tuple(
        replace(v, state=State.NOT_ENOUGH_DATA) if v.end == last else v for v in whole.verdicts
    )
    before, after = view_of(whole), view_of(replace(whole, verdicts=thin))
    assert len(after.features[0].trend) == len(before.features[0].trend) - 1
    assert "Windows with too few rows are not judged, and not drawn." in after.caveats


def test_known_outcomes_are_counted_against_predictions(overview_of: Make) -> None:
    assert (
        "The arrival delay is known for 94,022 of the champion's 96,410 predictions (97.52 %). "
        "Performance covers those only." in view_of(overview_of()).caveats
    )


def test_without_outcomes_nothing_is_said_of_performance(overview_of: Make) -> None:
    view = view_of(overview_of(verdicts=()))
    assert view.metric_figures == ()
    assert any("no performance has been measured" in caveat for caveat in view.caveats)


def test_the_decisive_guardrail_is_the_one_that_reached_its_limit(overview_of: Make) -> None:
    story = view_of(overview_of()).rollback
    assert story is not None
    assert story.decisive is not None
    assert [story.decisive.name, story.decisive.cost] == ["wrong decision", "about 5,840 USD"]
    assert [guardrail.part == 1.0 for guardrail in story.guardrails] == [True, False]


def test_evidence_belongs_to_the_rollout_that_it_is_of(overview_of: Make) -> None:
    whole = overview_of()
    again = replace(whole.rollouts[1], id="flights_late-0003", state=RolloutState.RUNNING)
    newest, first = view_of(replace(whole, rollouts=(*whole.rollouts, again))).stories[:2]
    assert [len(newest.guardrails), len(first.guardrails)] == [0, 2]


def test_all_candidates_of_a_rollout_are_told(overview_of: Make) -> None:
    whole = overview_of()
    before = whole.rollouts[1]
    both = replace(before, state=RolloutState.RUNNING, rivals=(4,), lost=(1,), ended_at=None)
    verdict = next(v for v in whole.verdicts if v.rollout == before.id)
    found = (*whole.verdicts, replace(verdict, version=4))
    view = view_of(replace(whole, rollouts=(whole.rollouts[0], both), verdicts=found))
    story = view.stories[0]
    assert (story.versions, story.off) == ((3, 4), (3,))
    assert [rail.version for rail in story.guardrails] == [3, 3, 4, 4]
    assert story.at_stake.startswith("version 4: about 48 predictions")


@pytest.mark.parametrize(
    ("state", "words", "tone"),
    [
        (RolloutState.RUNNING, "running at 10 %", "running"),
        (RolloutState.HELD, "held at 10 %", "watch"),
        (RolloutState.PROMOTED, "promoted", "healthy"),
        (RolloutState.ROLLED_BACK, "rolled back at 10 %", "act"),
    ],
)
def test_a_rollout_says_where_it_stands(
    overview_of: Make, state: RolloutState, words: str, tone: str
) -> None:
    whole = overview_of()
    moved = replace(whole, rollouts=(replace(whole.rollouts[1], state=state),))
    story = view_of(moved).stories[0]
    assert [story.state, story.tone] == [words, tone]


def test_rollouts_are_marked_where_their_evidence_ended(overview_of: Make) -> None:
    svg = view_of(overview_of()).drift_figures[0].svg
    assert [svg.count("v2 promoted"), svg.count("v3 rolled back")] == [1, 1]


def test_an_information_is_no_open_alert(overview_of: Make) -> None:
    view = view_of(overview_of())
    assert [view.open_alerts, len(view.alerts)] == [1, 3]


def test_faults_in_the_data_are_told_apart_from_drift(overview_of: Make) -> None:
    whole = overview_of()
    drift = whole.latest("data_drift")
    assert drift is not None
    broken = replace(
        drift.comparisons[0], statistic="unit_change", words="looks like km instead of miles"
    )
    faults = replace(drift, subject="data_quality", comparisons=(broken,), flagged=(broken.name,))
    assert None is view_of(whole).data_quality
    overview = replace(whole, verdicts=(*whole.verdicts, faults))
    assert view_of(overview).data_quality is not None
    assert "looks like km instead of miles" in render_report(
        overview, config=ModelConfig(), now=DAY
    )
