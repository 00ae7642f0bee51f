from __future__ import annotations

from typing import Any

import pytest

from trimtab.types import GuardrailSpec, RampStep, Rollout, RolloutPlan, RolloutState, UnitEvent
from trimtab.ui.offers import Offer, offers


def rollout(state: RolloutState = RolloutState.RUNNING, **changes: Any) -> Rollout:
    steps = (
        RampStep(share=0.1, bake_seconds=60.0),
        RampStep(share=0.5, bake_seconds=60.0, approval="admin"),
        RampStep(share=0.9, bake_seconds=60.0, approval="operator"),
    )
    guardrails = (GuardrailSpec(name="errors", event=UnitEvent.ERROR),)
    values: dict[str, Any] = {
        "id": "m-0001",
        "model": "m",
        "control": 1,
        "candidate": 2,
        "plan": RolloutPlan(steps=steps, guardrails=guardrails),
        "state": state,
        "step": 0,
        "salt": "s",
        "started_at": 0.0,
    }
    return Rollout(**(values | changes))


def named(found: tuple[Offer, ...], name: str) -> Offer:
    return next(offer for offer in found if offer.name == name)


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (None, []),
        (rollout(), ["rollback", "pause", "approve", "promote"]),
        (rollout(RolloutState.HELD), ["rollback", "resume", "approve", "promote"]),
        (rollout(approved=(1, 2)), ["rollback", "pause", "promote"]),
        (rollout(RolloutState.PROMOTED), ["rollback"]),
    ],
)
def test_what_is_on_offer(found: Rollout | None, names: list[str]) -> None:
    assert names == [offer.name for offer in offers(found)]


def test_an_approval_is_of_the_next_step_that_waits() -> None:
    assert 2 == named(offers(rollout()), "approve").step
    after = named(offers(rollout(approved=(1,))), "approve")
    assert (3, True) == (after.step, "the role operator" in after.does)


def test_one_of_several_candidates_may_be_named_and_has_to_be_for_a_promotion() -> None:
    found = offers(rollout(rivals=(3, 4), lost=(2,)))
    back, promote = named(found, "rollback"), named(found, "promote")
    assert ((2, 4), False) == (back.versions, back.needed)
    assert "Versions 2 and 4 are taken off" in back.does
    assert ((2, 4), True) == (promote.versions, promote.needed)
    alone = offers(rollout(rivals=(3,), lost=(2,)))
    assert ((), ()) == (named(alone, "rollback").versions, named(alone, "promote").versions)
    assert "Version 2 becomes the champion" in named(alone, "promote").does
