"""The loss so far and what can still be lost: one simulated rollout, told over HTTP, in the terminal, on the page."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from tests.registered import register, version

from trimtab.cli.main import cli
from trimtab.config import Config, StateConfig
from trimtab.rollout import controller
from trimtab.rollout.change import Change
from trimtab.rollout.guardrails import GuardrailComparer, GuardrailWindows
from trimtab.rollout.judge import RolloutJudge
from trimtab.serve.control import control_routes
from trimtab.types import (
    GuardrailAction,
    GuardrailSpec,
    Harm,
    Matured,
    PredictionRecord,
    RampStep,
    Rollout,
    RolloutPlan,
    Task,
    UnitEvent,
)
from trimtab.ui.pages import page_routes
from trimtab.watch import plain_facts
from trimtab.wiring.deployment import Deployment

DELAY, PER_SECOND, SECONDS, SHARE, BASE, RISK = 100.0, 10.0, 1_000.0, 0.5, 0.2, 0.6
PRICE = 12.0
PLAN = RolloutPlan(
    steps=(RampStep(share=SHARE, bake_seconds=1e6),),
    guardrails=(
        GuardrailSpec(
            name="bookings",
            event=UnitEvent.POSITIVE_OUTCOME,
            harm=Harm.FEWER,
            action=GuardrailAction.ALERT,
            cost_per_event=PRICE,
            currency="EUR",
        ),
    ),
    outcome_delay_seconds=DELAY,
)


class Story:
    """A rollout whose candidate books 40 % less: ``lost`` is what it really has lost, of what is known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.deployment = Deployment.open(Config(state=StateConfig(dir=str(folder))))
        with self.deployment.state.transaction() as state:
            register(state, (version("m", number, "x", task=Task.BINARY) for number in (1, 2)))
        self.deployment.deploy("m", 1, actor="ada", reason="first")
        with self.deployment.state.transaction() as state:
            rollout = controller.start(
                Change(state, actor="ada", reason="second", clock=self.deployment.clock),
                "m",
                PLAN,
                2,
            )
        self.lost = self._watch(rollout)

    def _watch(self, rollout: Rollout) -> float:
        rng = np.random.default_rng(1)
        times = np.sort(rng.random(int(SECONDS * PER_SECOND)) * SECONDS)
        arms, luck = rng.random(len(times)) < SHARE, rng.random(len(times))
        answers = [
            answer(rollout.id, i, float(at), int(arm))
            for i, (at, arm) in enumerate(zip(times, arms, strict=True))
        ]
        known = [
            outcome(record, float(u < (BASE * RISK if arm else BASE)))
            for record, arm, u, at in zip(answers, arms, luck, times, strict=True)
            if at < SECONDS - DELAY
        ]
        with self.deployment.state.transaction() as state:
            for window in GuardrailWindows(rollout).fold(answers, known, state):
                compared = GuardrailComparer(PLAN).compare(window)
                state.watch.add_verdict(RolloutJudge(PLAN).judge(window, compared))
        known_since = times < SECONDS - DELAY
        return float((known_since & arms & (luck < BASE) & (luck >= BASE * RISK)).sum())

    def get(self, path: str) -> httpx.Response:
        async def main() -> httpx.Response:
            routes = [*control_routes(self.deployment), *page_routes(self.deployment)]
            transport = httpx.ASGITransport(app=Starlette(routes=routes))
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                return await client.get(path)

        return asyncio.run(main())

    def told(self, *options: str) -> str:
        done = CliRunner().invoke(cli, ["status", "m", "--state", str(self.folder), *options])
        assert done.exit_code == 0, done.output
        return re.sub(r"\s+", " ", done.output)


def answer(rollout: str, i: int, at: float, arm: int) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=f"p{i}",
        request_id=None,
        event_time=at,
        wall_time=at,
        model="m",
        version=1 + arm,
        digest="",
        epoch=2,
        rollout=rollout,
        arm=arm,
        share=SHARE,
        unit=f"u{i}",
        sticky=True,
        values=(),
        sources="",
        ages_seconds=(),
        score=0.5,
        outputs=(),
        positive=True,
        latency_ms=1.0,
    )


def outcome(of: PredictionRecord, value: float) -> Matured:
    return Matured(facts=plain_facts(of), value=value, outcome_time=of.event_time, previous=None)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    made = Story(tmp_path_factory.mktemp("state"))
    yield made
    made.deployment.close()


def reading_of(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    (verdict,) = (v for v in verdicts if v["subject"] == "guardrail")
    found: dict[str, Any] = verdict["readings"][0]
    return found


def test_what_is_said_over_http_is_what_the_candidate_lost_and_can_lose(story: Story) -> None:
    reading = reading_of(story.get("/api/v1/models/m").json()["verdicts"])
    # The estimate compares two arms of 900 bookings and less: its noise is about 38 of them.
    assert abs(reading["excess"] - story.lost) < 3 * np.sqrt(2 * 900)
    assert reading["cost"] == pytest.approx(reading["excess"] * PRICE)
    stake = reading["stake"]
    assert stake["answers"] == pytest.approx(SHARE * PER_SECOND * DELAY, rel=0.1)
    assert stake["most"] == pytest.approx(SHARE * PER_SECOND * DELAY * BASE, rel=0.2)
    assert stake["cost"] == pytest.approx(stake["most"] * PRICE)


def test_the_terminal_and_the_page_say_the_same(story: Story) -> None:
    (status,) = json.loads(story.told("--json"))
    reading, stake = status["guardrails"][0], status["guardrails"][0]["stake"]
    at_stake = (
        f"about {stake['answers']:,.0f} predictions are answered before their outcomes can show harm, "
        f"at most {stake['most']:,.0f} of bookings ({stake['cost']:,.0f} EUR)"
    )
    loss = f"about {reading['cost']:,.0f} EUR"
    assert at_stake == status["at_stake"]
    terminal = story.told()
    assert f"estimated loss so far {loss}" in terminal
    assert at_stake in terminal
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", story.get("/models/m").text))
    assert at_stake in page
    assert loss in page
