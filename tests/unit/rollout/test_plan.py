from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.errors import InvalidPlan
from trimtab.rollout.plan import check_plan, check_signatures
from trimtab.rollout.readings import limits
from trimtab.types import (
    FeatureKind,
    FeatureSpec,
    GuardrailAction,
    GuardrailSpec,
    RampHours,
    RampStep,
    RolloutPlan,
    Signature,
    Task,
    UnitEvent,
)

NAN = float("nan")
ERRORS = GuardrailSpec(name="errors", event=UnitEvent.ERROR)


@pytest.mark.parametrize("above", [None, NAN])
def test_prediction_drift_needs_its_threshold_beforehand(
    plan: RolloutPlan, above: float | None
) -> None:
    drift = GuardrailSpec(name="scores", event=UnitEvent.PREDICTION_DRIFT, score_above=above)
    with pytest.raises(InvalidPlan, match="a score, fixed now") as refused:
        check_plan(replace(plan, guardrails=(drift,)))
    assert "guardrails[0].score_above" == refused.value.path


def test_a_strategy_is_named_and_a_shadow_guards_what_it_shows(plan: RolloutPlan) -> None:
    with pytest.raises(InvalidPlan, match="no strategy 'champion_only'") as refused:
        check_plan(replace(plan, strategy="champion_only"))
    assert ("unknown_strategy", "strategy") == (refused.value.code, refused.value.path)
    with pytest.raises(InvalidPlan, match="nobody gets the answers") as refused:
        check_plan(replace(plan, strategy="shadow"))
    assert ("shadow_guardrail", "guardrails[0].event") == (refused.value.code, refused.value.path)
    slow = GuardrailSpec(name="slow", event=UnitEvent.SLOW, slow_ms=50.0)
    scores = GuardrailSpec(name="scores", event=UnitEvent.PREDICTION_DRIFT, score_above=0.5)
    check_plan(replace(plan, strategy="shadow", guardrails=(ERRORS, slow, scores)))


def steps(*pairs: tuple[float, float]) -> dict[str, Any]:
    return {"steps": tuple(RampStep(share=share, bake_seconds=bake) for share, bake in pairs)}


def approved_by(*roles: str) -> dict[str, Any]:
    shares = (0.1, 0.5)
    return {
        "steps": tuple(
            RampStep(share=share, bake_seconds=100.0, approval=role)
            for share, role in zip(shares, roles, strict=True)
        )
    }


def guard(**changes: Any) -> dict[str, Any]:
    return {"guardrails": (replace(ERRORS, **changes),)}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"steps": ()}, "steps"),
        (steps((0.0, 100.0)), "steps[0].share"),
        (steps((1.5, 100.0)), "steps[0].share"),
        (steps((0.00001, 100.0)), "steps[0].share"),
        (steps((0.2, 100.0), (0.1, 100.0)), "steps[1].share"),
        (steps((0.2, 100.0), (0.2, 100.0)), "steps[1].share"),
        (steps((0.2, -1.0)), "steps[0].bake_seconds"),
        (steps((0.2, NAN)), "steps[0].bake_seconds"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 1.0}, "alpha"),
        ({"alpha": NAN}, "alpha"),
        ({"certificate_margin": 0.0}, "certificate_margin"),
        ({"certificate_margin": 1.0}, "certificate_margin"),
        ({"outcome_delay_seconds": -1.0}, "outcome_delay_seconds"),
        ({"guardrails": ()}, "guardrails"),
        ({"guardrails": (ERRORS, ERRORS)}, "guardrails[1].name"),
        (guard(name=""), "guardrails[0].name"),
        (guard(margin=1.0), "guardrails[0].margin"),
        (guard(margin=-0.1), "guardrails[0].margin"),
        (guard(weight=0.0), "guardrails[0].weight"),
        (guard(weight=float("inf")), "guardrails[0].weight"),
        (guard(min_events=-1), "guardrails[0].min_events"),
        (guard(cost_per_event=-1.0), "guardrails[0].cost_per_event"),
        (guard(event=UnitEvent.SLOW), "guardrails[0].slow_ms"),
        (guard(event=UnitEvent.OUTCOME_VALUE), "guardrails[0].high"),
        (guard(event=UnitEvent.OUTCOME_VALUE, low=2.0, high=2.0), "guardrails[0].high"),
        (guard(event=UnitEvent.OUTCOME_VALUE, low=NAN, high=2.0), "guardrails[0].low"),
        (guard(event=UnitEvent.OUTCOME_VALUE, high=float("inf")), "guardrails[0].high"),
        (approved_by("admin", "operator"), "steps[0].approval"),
        (approved_by("", "boss"), "steps[1].approval"),
        ({"hours": RampHours(begin=25)}, "hours.begin"),
        ({"hours": RampHours(end=-1)}, "hours.end"),
        ({"hours": RampHours(begin=9, end=9)}, "hours.end"),
        ({"hours": RampHours(days=())}, "hours.days"),
        ({"hours": RampHours(days=(0,))}, "hours.days"),
        ({"hours": RampHours(time_zone="Mars/Olympus")}, "hours.time_zone"),
        ({"hours": RampHours(time_zone="../etc/passwd")}, "hours.time_zone"),
        ({"time_limit_seconds": 1.0}, "time_limit_seconds"),
        ({"time_limit_seconds": NAN}, "time_limit_seconds"),
        (
            {"time_limit_seconds": 1e9, "on_time_limit": GuardrailAction.ALERT},
            "on_time_limit",
        ),
        (guard(event=UnitEvent.SLOW, slow_ms=0.0), "guardrails[0].slow_ms"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_with_its_path(
    plan: RolloutPlan, changes: dict[str, Any], path: str
) -> None:
    check_plan(plan)
    with pytest.raises(InvalidPlan) as raised:
        check_plan(replace(plan, **changes))
    assert path == raised.value.path


def test_a_step_shorter_than_the_outcome_delay_is_refused_with_the_arithmetic(
    plan: RolloutPlan,
) -> None:
    short = replace(plan, outcome_delay_seconds=160.0)
    with pytest.raises(
        InvalidPlan, match=r"bakes 100 s, and outcomes take 160 s: .* 60 s"
    ) as raised:
        check_plan(short)
    assert "step_shorter_than_delay" == raised.value.code
    check_plan(short, force=("step_shorter_than_delay",))


def test_only_what_can_be_forced_is_forced(plan: RolloutPlan) -> None:
    with pytest.raises(InvalidPlan, match="cannot be forced"):
        check_plan(plan, force=("everything",))


def test_alpha_is_split_by_weight(plan: RolloutPlan) -> None:
    weighted = replace(
        plan, alpha=0.05, guardrails=(replace(ERRORS, weight=4.0), replace(ERRORS, weight=1.0))
    )
    assert (pytest.approx(25.0), pytest.approx(100.0)) == limits(weighted)
    assert 0.05 == pytest.approx(sum(1 / limit for limit in limits(plan)))


def signature(*names: str, **changes: Any) -> Signature:
    features = tuple(FeatureSpec(name=name, kind=FeatureKind.NUMERIC) for name in names)
    fields: dict[str, Any] = {
        "features": features,
        "task": Task.BINARY,
        "labels": ("no", "yes"),
    }
    return Signature(**fields | changes)


def test_a_candidate_may_take_fewer_features_in_another_order(plan: RolloutPlan) -> None:
    check_signatures(signature("a", "b", "c"), signature("c", "a"), plan)


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (signature("a", "new"), "'new' as numeric, control has no such feature"),
        (
            signature(features=(FeatureSpec(name="a", kind=FeatureKind.CATEGORICAL),)),
            "'a' as categorical, control has numeric",
        ),
        (signature("a", labels=("yes", "no")), "answers binary"),
        (signature("a", task=Task.REGRESSION), "answers binary"),
    ],
)
def test_a_candidate_that_does_not_fit_is_refused(
    plan: RolloutPlan, candidate: Signature, words: str
) -> None:
    with pytest.raises(InvalidPlan, match=words):
        check_signatures(signature("a", "b"), candidate, plan)


def test_a_guardrail_on_decisions_needs_decisions(plan: RolloutPlan) -> None:
    value = signature("a", task=Task.REGRESSION, labels=())
    with pytest.raises(InvalidPlan, match="no yes-or-no decision") as raised:
        check_signatures(value, value, plan)
    assert "guardrails[0].event" == raised.value.path
    check_signatures(value, value, replace(plan, guardrails=plan.guardrails[1:]))
