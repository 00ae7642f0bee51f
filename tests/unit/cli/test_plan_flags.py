"""A plan by flags: alone, on a file, on the configured plan, and what is malformed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trimtab.cli.plan import read_plan, seconds
from trimtab.errors import InvalidPlan
from trimtab.types import (
    GuardrailAction,
    GuardrailSpec,
    Harm,
    PromotionPolicy,
    RampHours,
    RampStep,
    RolloutPlan,
    UnitEvent,
)

CONFIGURED = RolloutPlan(
    steps=(RampStep(share=0.1, bake_seconds=60.0),),
    guardrails=(GuardrailSpec(name="errors", event=UnitEvent.ERROR),),
    alpha=0.01,
)


def test_without_flags_there_is_no_plan_of_its_own() -> None:
    assert read_plan(CONFIGURED, {"steps": (), "alpha": None}) is None


def test_flags_make_a_whole_plan() -> None:
    made = read_plan(
        None,
        {
            "steps": ("10%:1h", "0.5:1d:admin"),
            "guardrails": (
                "error",
                "positive_outcome,name=bookings,harm=fewer,margin=0.05,action=hold",
            ),
            "alpha": 0.02,
            "outcome_delay": "30m",
            "promote": "manual",
            "certificate_margin": 0.3,
            "time_limit": "7d",
            "on_time_limit": "roll_back",
            "hours": "9-17@Europe/Amsterdam",
        },
    )
    assert made == RolloutPlan(
        steps=(
            RampStep(share=0.1, bake_seconds=3_600.0),
            RampStep(share=0.5, bake_seconds=86_400.0, approval="admin"),
        ),
        guardrails=(
            GuardrailSpec(name="error", event=UnitEvent.ERROR),
            GuardrailSpec(
                name="bookings",
                event=UnitEvent.POSITIVE_OUTCOME,
                harm=Harm.FEWER,
                margin=0.05,
                action=GuardrailAction.HOLD,
            ),
        ),
        alpha=0.02,
        outcome_delay_seconds=1_800.0,
        certificate_margin=0.3,
        promote=PromotionPolicy.MANUAL,
        hours=RampHours(begin=9, end=17, time_zone="Europe/Amsterdam"),
        time_limit_seconds=604_800.0,
        on_time_limit=GuardrailAction.ROLL_BACK,
    )


def test_flags_stand_on_the_configured_plan() -> None:
    made = read_plan(CONFIGURED, {"steps": ("25%:2h",)})
    assert made is not None
    assert (0.25, 7_200.0) == (made.steps[0].share, made.steps[0].bake_seconds)
    assert (CONFIGURED.guardrails, 0.01) == (made.guardrails, made.alpha)


def test_a_file_stands_in_for_the_configured_plan(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(
        "steps = [{ share = 0.2, bake_seconds = 5 }]\n"
        'guardrails = [{ name = "slow", event = "slow", slow_ms = 50 }]\n'
    )
    made = read_plan(CONFIGURED, {"plan_file": file, "alpha": 0.1})
    assert made is not None
    assert (0.2, "slow", 0.1) == (made.steps[0].share, made.guardrails[0].name, made.alpha)


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        ({"steps": ("10%",)}, "steps[0]"),
        ({"steps": ("ten:1h",)}, "steps[0]"),
        ({"steps": ("10%:1h", "50%:soon")}, "steps[1]"),
        ({"guardrails": ("error,margin",)}, "guardrails[0]"),
        ({"guardrails": ("no_such_event",)}, "guardrails[0].event"),
        ({"guardrails": ("error,colour=red",)}, "guardrails[0]"),
        ({"outcome_delay": "-1s"}, "outcome_delay_seconds"),
        ({"hours": "morning"}, "hours"),
        ({"plan_file": Path("no-such-plan.toml")}, "no-such-plan.toml"),
    ],
)
def test_what_is_malformed_is_named_by_its_path(flags: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidPlan) as refused:
        read_plan(CONFIGURED, flags)
    assert path == refused.value.path


def test_steps_state_a_share_for_each_of_several_candidates() -> None:
    made = read_plan(CONFIGURED, {"strategy": "ab", "steps": ("10%+20%:1h",)})
    assert made is not None
    assert ("ab", (0.1, 0.2)) == (made.strategy, made.steps[0].shares)
    assert 0.3 == made.steps[0].share


@pytest.mark.parametrize("flags", [{"steps": ("10%:1h",)}, {"guardrails": ("error",)}])
def test_a_plan_needs_steps_and_guardrails(flags: dict[str, Any]) -> None:
    with pytest.raises(InvalidPlan, match="The plan has no"):
        read_plan(None, flags)


def test_spans() -> None:
    assert [90.0, 90.0, 900.0, 5_400.0, 172_800.0] == [
        seconds(text, "x") for text in ("90", "90s", "15m", "1.5h", "2d")
    ]
