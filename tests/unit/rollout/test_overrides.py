"""Overrides: a tester's key goes where it is sent, and counts nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.errors import InvalidInput, NotFound
from trimtab.rollout import controller
from trimtab.rollout.change import Change
from trimtab.rollout.overrides import clear_override, set_override
from trimtab.rollout.router import Router
from trimtab.rollout.split import slot, unit_hash
from trimtab.types import Assignment, RolloutPlan

ROUTER = Router()


@pytest.fixture
def split(state: Any, plan: RolloutPlan, who: Any) -> Any:
    controller.deploy_first(Change(state, **who), "flights", 1)
    controller.start(Change(state, **who), "flights", plan, 2)
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
    route = set_override(Change(split, **who), "flights", key, version)
    assert Assignment(arm=version - 1, sticky=True, drawn=False) == ROUTER.assign(route, key, "p")
    assert (before + 1, {unit_hash(key): version}) == (route.epoch, route.overrides)
    other = key_of(split, arm) + "x"
    assert ROUTER.assign(replace(route, overrides=None), other, "p") == ROUTER.assign(
        route, other, "p"
    )
    entry = split.log[-1]
    assert ("override", "ada", "because") == (entry.action, entry.actor, entry.reason)
    assert key not in str(entry.detail)
    cleared = clear_override(Change(split, **who), "flights", key)
    assert cleared.overrides is None
    assert ROUTER.assign(cleared, key, "p").drawn
    assert "override_end" == split.log[-1].action


def test_overrides_stay_through_the_steps_and_end_with_the_rollout(split: Any, who: Any) -> None:
    set_override(Change(split, **who), "flights", "tester", 2)
    controller.advance(Change(split, **who), "flights")
    assert {unit_hash("tester"): 2} == split.route("flights").overrides
    controller.roll_back(Change(split, **who), "flights")
    assert split.route("flights").overrides is None


def test_what_cannot_be_overridden_is_refused(split: Any, who: Any) -> None:
    with pytest.raises(NotFound, match="does not answer now") as refused:
        set_override(Change(split, **who), "flights", "tester", 3)
    assert "version_not_live" == refused.value.code
    with pytest.raises(InvalidInput, match="key is empty"):
        set_override(Change(split, **who), "flights", "", 2)
    with pytest.raises(NotFound, match="has no override"):
        clear_override(Change(split, **who), "flights", "tester")
    with pytest.raises(NotFound, match="not deployed"):
        set_override(Change(split, **who), "nothing", "tester", 2)
