from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from starlette.applications import Starlette

from trimtab.config import Config, ModelConfig
from trimtab.errors import Unavailable
from trimtab.report.stakeholder import render_report
from trimtab.types import Arm, RolloutState, State
from trimtab.ui.pages import page_routes
from trimtab.wiring.overview import ModelOverview

Make = Callable[..., ModelOverview]
Text = Callable[[str], str]
Tags = Callable[[str], list[str]]
States = Callable[[dict[str, ModelOverview]], Any]


class BrokenState:
    def reading(self) -> AbstractContextManager[Any]:
        raise Unavailable("The database does not answer.", hint="Start it.")


async def get(state: Any, path: str) -> httpx.Response:
    deployment: Any = SimpleNamespace(
        config=Config(models={"flights_late": ModelConfig(outcome="arrival delay")}),
        state=state,
        clock=SimpleNamespace(now=lambda: 1_385_500_000.0),
        run_dir=Path("no", "server", "ran", "here"),
    )
    transport = httpx.ASGITransport(app=Starlette(routes=page_routes(deployment)))
    async with httpx.AsyncClient(transport=transport, base_url="http://trimtab.test") as client:
        return await client.get(path)


async def test_the_first_page_has_a_card_a_model(
    overview_of: Make, state_of: States, text_of: Text
) -> None:
    found = {name: overview_of(model=name) for name in ("flights_late", "fraud")}
    page = await get(state_of(found), "/")
    text = text_of(page.text)
    assert page.status_code == 200
    assert page.text.count("<article") == 2
    assert "act flights_late Version 3 of flights_late was rolled back." in text
    assert "Champion v2 Traffic v2 100 %" in text
    assert "Predictions 238,853" in text


async def test_without_a_model_the_first_page_says_what_to_run(
    state_of: States, unbalanced: Tags
) -> None:
    page = await get(state_of({}), "/")
    assert "trimtab register my_model" in page.text
    assert unbalanced(page.text) == []


async def test_a_model_shows_drift_performance_alerts_and_events(
    overview_of: Make, state_of: States, text_of: Text
) -> None:
    page = await get(state_of({"flights_late": overview_of()}), "/models/flights_late")
    text = text_of(page.text)
    headings = re.findall(r"<h2>([^<]+)</h2>", page.text)
    assert headings == [
        "Traffic",
        "Drift",
        "Performance",
        "Earlier rollouts",
        "Alerts",
        "What was done",
    ]
    assert page.text.count('<svg class="chart"') == 4
    assert "accuracy 0.806 0.792" in text
    assert "v2 promoted" in text
    assert "Roll back 26 Nov 2013, 19:50 UTC · Trimtab itself" in text


async def test_what_stores_gave_is_shown_once_it_was_watched(
    overview_of: Make, state_of: States, text_of: Text
) -> None:
    whole = overview_of()
    page = await get(state_of({"flights_late": whole}), "/models/flights_late")
    assert "Features from stores" not in page.text
    drift = whole.latest("data_drift")
    assert drift is not None
    skew = replace(drift, subject="feature_skew", words="1 of 2 differ from the history.")
    fallback = replace(
        drift,
        subject="feature_fallback",
        words="Features come from their stores.",
        state=State.STEADY,
        alarmed=False,
        since=None,
    )
    seen = replace(whole, verdicts=(*whole.verdicts, skew, fallback))
    text = text_of((await get(state_of({"flights_late": seen}), "/models/flights_late")).text)
    assert "Where values came from steady Features come from their stores." in text
    assert "Against their history drifted 1 of 2 differ from the history. Since" in text
    assert "Where values came from steady" in text_of(
        render_report(seen, config=ModelConfig(), now=1_385_500_000.0)
    )


async def test_a_running_rollout_shows_its_guardrails_and_what_is_at_stake(
    overview_of: Make, state_of: States, text_of: Text
) -> None:
    whole = overview_of(alerts=())
    assert whole.route is not None
    arms = (
        Arm(name="champion", version=2, share=0.9),
        Arm(name="candidate", version=3, share=0.1),
    )
    running = replace(whole.rollouts[1], state=RolloutState.RUNNING, ended_at=None)
    state = state_of(
        {
            "flights_late": replace(
                whole,
                rollouts=(whole.rollouts[0], running),
                route=replace(whole.route, arms=arms, rollout=running.id),
            )
        }
    )
    text = text_of((await get(state, "/models/flights_late")).text)
    assert "v2 90 % v3 10 %" in text
    assert "running at 10 %" in text
    assert (
        "about 48 predictions are answered before their outcomes can show harm, at most 38 of wrong "
        "decision (1,536 USD)" in text
    )
    assert "wrong decision 61.4 of 40 507 of 1,204 2,408 of 10,836 about 5,840 USD" in text


async def test_each_of_several_candidates_has_its_rows(
    overview_of: Make, state_of: States, text_of: Text, unbalanced: Tags
) -> None:
    whole = overview_of(alerts=())
    before = whole.rollouts[1]
    both = replace(before, state=RolloutState.RUNNING, rivals=(4,), lost=(1,), ended_at=None)
    verdict = next(v for v in whole.verdicts if v.rollout == before.id)
    found = (*whole.verdicts, replace(verdict, version=4))
    told = replace(whole, rollouts=(whole.rollouts[0], both), verdicts=found)
    page = await get(state_of({"flights_late": told}), "/models/flights_late")
    text = text_of(page.text)
    assert "Versions 3 , 4 against version 2" in text
    assert "3 taken off wrong decision 61.4 of 40" in text
    assert "4 wrong decision 61.4 of 40" in text
    assert unbalanced(page.text) == []


async def test_a_model_that_is_not_deployed_shows_the_command(
    overview_of: Make, state_of: States, unbalanced: Tags
) -> None:
    new = overview_of(route=None, verdicts=(), rollouts=(), alerts=(), events=())
    page = await get(state_of({"flights_late": new}), "/models/flights_late")
    assert "trimtab deploy flights_late 3" in page.text
    assert unbalanced(page.text) == []


@pytest.mark.parametrize("path", ["/", "/models/flights_late"])
async def test_live_pages_refresh_unless_paused(
    path: str, overview_of: Make, state_of: States
) -> None:
    state = state_of({"flights_late": overview_of(days=40)})
    live, paused = await get(state, path), await get(state, f"{path}?refresh=off")
    assert '<meta http-equiv="refresh" content="5">' in live.text
    assert "http-equiv" not in paused.text


@pytest.mark.parametrize("path", ["/", "/models/flights_late", "/models/none"])
async def test_pages_allow_nothing_but_their_own_style(
    path: str, overview_of: Make, state_of: States, unbalanced: Tags
) -> None:
    page = await get(state_of({"flights_late": overview_of(days=40)}), path)
    assert page.headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'self'; img-src 'self' data:;"
    )
    assert re.findall(r"https?:|<script| style=| on[a-z]+=", page.text) == []
    assert unbalanced(page.text) == []


async def test_the_report_allows_exactly_its_inline_style(
    overview_of: Make, state_of: States
) -> None:
    state = state_of({"flights_late": overview_of(days=40)})
    page = await get(state, "/models/flights_late/report")
    style = page.text[page.text.index("<style>") + 7 : page.text.index("</style>")]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in page.headers["content-security-policy"]
    assert "http-equiv" not in page.text


async def test_the_same_data_is_there_as_json(overview_of: Make, state_of: States) -> None:
    whole = overview_of()
    page = await get(state_of({"flights_late": whole}), "/models/flights_late.json")
    data = page.json()
    assert page.headers["content-type"] == "application/json"
    assert data["champion"] == 2
    assert data["arms"] == [{"name": "champion", "version": 2, "share": 1.0}]
    assert len(data["windows"]) == len(whole.verdicts)
    newest = {(v["subject"], v["version"]): v["end"] for v in data["verdicts"]}
    assert newest["data_drift", 2] == max(v.end for v in whole.verdicts)


async def test_an_unknown_model_is_a_page_that_names_the_known_ones(
    overview_of: Make, state_of: States
) -> None:
    page = await get(state_of({"flights_late": overview_of(days=3)}), "/models/none")
    assert page.status_code == 404
    assert "There is no model &#39;none&#39;." in page.text
    assert "Registered: flights_late." in page.text


async def test_a_state_that_does_not_answer_is_a_page_too() -> None:
    page = await get(BrokenState(), "/")
    assert page.status_code == 503
    assert "The database does not answer." in page.text


async def test_the_style_sheet_is_served(state_of: States) -> None:
    page = await get(state_of({}), "/static/trimtab.css")
    assert page.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme:dark" in page.text


async def test_names_and_words_are_escaped(overview_of: Make, state_of: States) -> None:
    bad = "<script>x</script>"
    whole = overview_of(model=bad, names=(bad,), days=60)
    verdicts = tuple(
        replace(v, words=bad, comparisons=tuple(replace(c, words=bad) for c in v.comparisons))
        for v in whole.verdicts
    )
    state = state_of(
        {
            bad: replace(
                whole,
                verdicts=verdicts,
                events=tuple(replace(e, actor=bad, reason=bad) for e in whole.events),
                rollouts=tuple(replace(r, reason=bad) for r in whole.rollouts),
            )
        }
    )
    first = await get(state, "/")
    link = re.findall(r'href="(/models/[^"]+)"', first.text)[0]
    assert "<script" not in first.text
    assert '"' not in link
    shown = await get(state, "/models/missing%3Cscript%3E")
    assert "<script" not in shown.text


async def test_twenty_features_over_ten_months_stay_within_60_kb(
    overview_of: Make, state_of: States
) -> None:
    wide = overview_of(names=tuple(f"feature_number_{i}" for i in range(20)))
    page = await get(state_of({"flights_late": wide}), "/models/flights_late")
    assert len(page.content) <= 60_000


async def test_data_of_an_unknown_model_is_an_error_as_data(state_of: States) -> None:
    page = await get(state_of({}), "/models/none.json")
    assert page.status_code == 404
    assert page.json()["error"]["code"] == "unknown_model"
