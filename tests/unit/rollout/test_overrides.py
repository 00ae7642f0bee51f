"""Overrides: a tester's key goes where it is sent, and counts nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.errors import InvalidInput, NotFound
from trimtab.rollout import controller
from trimtab.rollout.overrides import clear_override, set_override
from trimtab.rollout.router import Router
from trimtab.rollout.split import slot, unit_hash
from trimtab.types import Assignment, RolloutPlan

ROUTER = Router()


@pytest.fixture
def split(state: Any, plan: RolloutPlan, who: Any) -> Any:
    controller.deploy_first(state, "flights", 1, **who)
    controller.start(state, "flights", plan, 2, **who)
    return state


def key_of(state: Any, arm: int) -> str:
    route = state.route("flights")
    keys = (f"user-{i}" for i in range(10_000))
    return next(key for key in keys if route.slots[slot(route.salt, key)] == arm)


@pytest.mark.parametrize(("arm", "version"), [(0, 2), (1, 1), (0, 1)])
def test_a_key_goes_to_its_version_and_is_not_drawn(
    split: Any, who: Any, arm: int, version: int
) -> None:
    key = key_of(split, arm)
    before = split.epoch()
    route = set_override(split, "flights", key, version, **who)
    assert Assignment(arm=version - 1, sticky=True, drawn=False) == ROUTER.assign(route, key, "p")
    assert (before + 1, {unit_hash(key): version}) == (route.epoch, route.overrides)
    other = key_of(split, arm) + "x"
    assert ROUTER.assign(replace(route, overrides=None), other, "p") == ROUTER.assign(
        route, other, "p"
    )
    entry = split.log[-1]
    assert ("override", "ada", "because") == (entry.action, entry.actor, entry.reason)
    assert key not in str(entry.detail)
    cleared = clear_override(split, "flights", key, **who)
    assert cleared.overrides is None
    assert ROUTER.assign(cleared, key, "p").drawn
    assert "override_end" == split.log[-1].action


def test_overrides_stay_through_the_steps_and_end_with_the_rollout(split: Any, who: Any) -> None:
    set_override(split, "flights", "tester", 2, **who)
    controller.advance(split, "flights", **who)
    assert {unit_hash("tester"): 2} == split.route("flights").overrides
    controller.roll_back(split, "flights", **who)
    assert split.route("flights").overrides is None


def test_what_cannot_be_overridden_is_refused(split: Any, who: Any) -> None:
    with pytest.raises(NotFound, match="does not answer now") as refused:
        set_override(split, "flights", "tester", 3, **who)
    assert "version_not_live" == refused.value.code
    with pytest.raises(InvalidInput, match="key is empty"):
        set_override(split, "flights", "", 2, **who)
    with pytest.raises(NotFound, match="has no override"):
        clear_override(split, "flights", "tester", **who)
    with pytest.raises(NotFound, match="not deployed"):
        set_override(split, "nothing", "tester", 2, **who)
