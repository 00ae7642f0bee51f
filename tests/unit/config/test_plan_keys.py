"""A mistyped key of a rollout plan is refused with its path: it would change a guardrail unseen."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.config import load
from trimtab.errors import InvalidConfig

PLAN: dict[str, Any] = {
    "steps": [{"share": 0.1, "bake_seconds": 60.0}],
    "guardrails": [{"name": "errors", "event": "error"}],
}


def test_a_right_plan_is_taken() -> None:
    plan = load(environ={}, overrides={"models.m.rollout": PLAN}).models["m"].rollout
    assert plan is not None
    assert 0.1 == plan.steps[0].share


@pytest.mark.parametrize(
    ("plan", "path"),
    [
        ({**PLAN, "alhpa": 0.5}, "rollout"),
        ({**PLAN, "steps": [{"share": 0.1, "bake_seconds": 1.0, "shaer": 3}]}, "rollout.steps"),
        (
            {**PLAN, "guardrails": [{"name": "e", "event": "error", "magrin": 0.9}]},
            "rollout.guardrails",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_its_path(plan: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidConfig, match="unknown field") as refused:
        load(environ={}, overrides={"models.m.rollout": plan})
    assert path in (refused.value.path or "")
