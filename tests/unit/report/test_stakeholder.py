from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from trimtab.config import ModelConfig
from trimtab.report.stakeholder import render_report
from trimtab.types import RolloutState
from trimtab.wiring.overview import Health, ModelOverview

NOW = 1_385_500_000.0
CONFIG = ModelConfig(owner="Operations", purpose="Plan gates.", outcome="arrival delay")
Make = Callable[..., ModelOverview]
Text = Callable[[str], str]
Tags = Callable[[str], list[str]]


def test_the_verdict_comes_first_with_its_reasons(overview_of: Make, text_of: Text) -> None:
    text = text_of(render_report(overview_of(), config=CONFIG, now=NOW, title="Late flights"))
    assert text.startswith(
        "Model report Late flights Written 26 Nov 2013, 21:06 UTC · Owner: Operations "
        "Act 1 open alert calls for action. Retrain flights_late: data drift since 1 Oct 2013"
    )


def test_a_rollback_names_guardrail_units_and_the_estimated_cost(
    overview_of: Make, text_of: Text
) -> None:
    text = text_of(render_report(overview_of(), config=CONFIG, now=NOW))
    assert (
        "The last rollback: version 3. The guardrail wrong decision took 1,204 units of the "
        "candidate to establish harm. Estimated cost: about 5,840 USD. Decided by Trimtab itself, "
        "26 Nov 2013, 19:50 UTC." in text
    )


def test_without_a_cost_of_an_event_no_cost_is_stated(overview_of: Make, text_of: Text) -> None:
    whole = overview_of()
    free = tuple(
        replace(
            v,
            readings=tuple(
                replace(r, cost=None, crossing=r.crossing and replace(r.crossing, cost=None))
                for r in v.readings
            ),
        )
        for v in whole.verdicts
    )
    text = text_of(render_report(replace(whole, verdicts=free), config=CONFIG, now=NOW))
    assert "No cost of an event is configured, so none is stated." in text


def test_a_healthy_model_is_said_to_be_so(overview_of: Make, text_of: Text) -> None:
    calm = overview_of(health=Health.HEALTHY, because=(), alerts=(), rollouts=())
    text = text_of(render_report(calm, config=CONFIG, now=NOW))
    assert "Healthy Nothing that is watched is outside its limits." in text
    assert "The last rollback" not in text


def test_performance_is_measured_with_its_interval(overview_of: Make, text_of: Text) -> None:
    text = text_of(render_report(overview_of(), config=CONFIG, now=NOW))
    found = re.search(r"accuracy ([\d.]+) ([\d.]+) ([\d.]+) to ([\d.]+) (steady|worse)", text)
    assert found is not None
    held_out, value, low, high = map(float, found.groups()[:4])
    assert held_out == 0.806
    assert low < value < high


def test_flagged_features_come_first_with_words_and_since_when(
    overview_of: Make, text_of: Text
) -> None:
    text = text_of(render_report(overview_of(), config=CONFIG, now=NOW))
    table = text[text.index("Feature State Score") :]
    assert re.match(
        r"Feature State Score What changed Since Over time p temperature drifted 0\.\d{3} "
        r"median 38 → 71.6 °F \d+ \w+ 2013 ",
        table,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"days": 3},
        {"verdicts": ()},
        {"verdicts": (), "rollouts": (), "alerts": (), "events": ()},
        {"route": None, "verdicts": (), "rollouts": (), "alerts": (), "events": (), "versions": ()},
    ],
)
def test_every_tag_is_closed_whatever_is_known(
    overview_of: Make, changes: dict[str, object], unbalanced: Tags
) -> None:
    html = render_report(overview_of(**changes), config=CONFIG, now=NOW)
    assert unbalanced(html) == []


def test_what_users_wrote_is_escaped(overview_of: Make, unbalanced: Tags) -> None:
    bad = "<script>alert('x')</script>"
    whole = overview_of(names=(bad, "temperature"), model=bad, because=(bad, f"`{bad}`"))
    rollouts = tuple(replace(r, reason=bad) for r in whole.rollouts)
    alerts = tuple(replace(a, alert=replace(a.alert, title=bad, body=bad)) for a in whole.alerts)
    events = tuple(replace(e, actor=bad, reason=bad) for e in whole.events)
    versions = tuple(
        replace(v, aliases=(bad,), version=replace(v.version, description=bad, lineage={bad: bad}))
        for v in whole.versions
    )
    verdicts = tuple(
        replace(v, words=bad, comparisons=tuple(replace(c, words=bad) for c in v.comparisons))
        for v in whole.verdicts
    )
    html = render_report(
        replace(
            whole,
            rollouts=rollouts,
            alerts=alerts,
            events=events,
            versions=versions,
            verdicts=verdicts,
        ),
        config=ModelConfig(owner=bad, purpose=bad, outcome=bad),
        now=NOW,
        title=bad,
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 20
    assert unbalanced(html) == []


def test_nothing_is_loaded_from_elsewhere(overview_of: Make) -> None:
    html = render_report(overview_of(), config=CONFIG, now=NOW)
    assert re.findall(r"https?:|//[a-z]|@import|url\(|<script|<link|<img", html) == []


def test_twenty_features_over_ten_months_stay_within_150_kb(overview_of: Make) -> None:
    wide = overview_of(names=tuple(f"feature_number_{i}" for i in range(20)))
    assert len(render_report(wide, config=CONFIG, now=NOW).encode()) <= 150_000


def test_a_running_rollout_is_no_rollback(overview_of: Make, text_of: Text) -> None:
    whole = overview_of()
    running = replace(whole.rollouts[1], state=RolloutState.RUNNING, ended_at=None)
    text = text_of(
        render_report(replace(whole, rollouts=(whole.rollouts[0], running)), config=CONFIG, now=NOW)
    )
    assert "Version 3 against version 2 running at 10 %" in text
    assert "The last rollback" not in text
