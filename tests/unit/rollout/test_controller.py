from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.errors import Conflict, InvalidInput, InvalidPlan, NotFound, Refused, TrimtabError
from trimtab.rollout import audit, controller
from trimtab.rollout.change import Change
from trimtab.testing import FakeClock
from trimtab.types import FeatureKind, FeatureSpec, RolloutPlan, RolloutState

CHANGES: dict[str, Callable[..., object]] = {
    "advance": controller.advance,
    "promote": controller.promote,
    "pause": controller.pause,
    "resume": controller.resume,
    "roll_back": controller.roll_back,
}


@pytest.fixture
def running(state: Any, plan: RolloutPlan, who: Any) -> Any:
    """Version 1 is champion, version 2 at the first step."""
    controller.deploy_first(Change(state, **who), "flights", 1)
    controller.start(Change(state, **who), "flights", plan, 2)
    return state


def shares(state: Any) -> list[tuple[int, float]]:
    return [(arm.version, arm.share) for arm in state.route("flights").arms]


def aliases(state: Any) -> dict[str, int]:
    return {alias: kept.version for (_, alias), kept in state.kept_aliases.items()}


def told(state: Any) -> list[str]:
    return [entry.action for entry in state.log]


def test_a_first_deployment_gets_everybody(state: Any, who: Any) -> None:
    route = controller.deploy_first(Change(state, **who), "flights", 2)
    assert route == state.route("flights")
    assert (1, bytes(10_000), "champion_only", None) == (
        route.epoch,
        route.slots,
        route.strategy,
        route.rollout,
    )
    assert [(2, 1.0)] == shares(state)
    assert {"champion": 2} == aliases(state)
    assert [("deploy", "ada", "because")] == [(e.action, e.actor, e.reason) for e in state.log]


def test_a_second_first_deployment_is_refused(running: Any, who: Any) -> None:
    with pytest.raises(Conflict) as raised:
        controller.deploy_first(Change(running, **who), "flights", 3)
    assert "already_deployed" == raised.value.code


def test_a_rollout_starts_with_its_first_step(running: Any, plan: RolloutPlan) -> None:
    rollout = running.rollouts("flights")[0]
    route = running.route("flights")
    assert (RolloutState.RUNNING, 0, 1, 2) == (
        rollout.state,
        rollout.step,
        rollout.control,
        rollout.candidate,
    )
    assert [(1, 0.9), (2, 0.1)] == shares(running)
    assert (1_000, rollout.id, rollout.salt, "canary", 2) == (
        route.slots.count(1),
        route.rollout,
        route.salt,
        route.strategy,
        route.epoch,
    )
    assert plan == rollout.plan
    assert {"champion": 1, "challenger": 2} == aliases(running)


def test_a_ramp_goes_through_all_steps_and_flips_nobody_back(running: Any, who: Any) -> None:
    before = running.route("flights").slots
    for share, slots in ((0.25, 2_500), (0.5, 5_000)):
        rollout = controller.advance(Change(running, **who), "flights")
        after = running.route("flights").slots
        assert slots == after.count(1)
        assert all(new == 1 for old, new in zip(before, after, strict=True) if old == 1)
        assert share == running.route("flights").arms[1].share
        assert rollout.step_since is None
        before = after
    with pytest.raises(Conflict) as raised:
        controller.advance(Change(running, **who), "flights")
    assert "last_step" == raised.value.code


def test_promotion_makes_the_candidate_the_champion_of_everybody(running: Any, who: Any) -> None:
    rollout = controller.promote(Change(running, **who), "flights")
    assert (RolloutState.PROMOTED, 1_000.0, "because") == (
        rollout.state,
        rollout.ended_at,
        rollout.reason,
    )
    assert [(2, 1.0)] == shares(running)
    assert {"champion": 2, "previous": 1} == aliases(running)
    assert {"champion": 2, "previous": 1, "challenger": None} == running.log[-1].detail["aliases"]


def test_a_rollback_gives_everybody_to_control_at_a_higher_epoch(running: Any, who: Any) -> None:
    controller.advance(Change(running, **who), "flights")
    before = running.epoch()
    route = controller.roll_back(Change(running, **who), "flights")
    assert before + 1 == route.epoch == running.epoch()
    assert bytes(10_000) == route.slots
    assert [(1, 1.0)] == shares(running)
    assert RolloutState.ROLLED_BACK is running.rollouts("flights")[0].state
    assert 1 == aliases(running)["champion"]


def test_rolling_back_the_only_version_is_refused(running: Any, who: Any) -> None:
    controller.roll_back(Change(running, **who), "flights")
    epoch, log = running.epoch(), told(running)
    with pytest.raises(Conflict, match="nothing would answer") as raised:
        controller.roll_back(Change(running, **who), "flights")
    assert "nothing_to_roll_back_to" == raised.value.code
    assert (epoch, log) == (running.epoch(), told(running))


def test_rollbacks_walk_promotions_back_one_at_a_time(
    running: Any, plan: RolloutPlan, who: Any
) -> None:
    controller.promote(Change(running, **who), "flights")
    for candidate in (3, 2):
        controller.start(Change(running, **who), "flights", plan, candidate)
        controller.promote(Change(running, **who), "flights")
    for champion in (3, 2, 1):
        assert champion == controller.roll_back(Change(running, **who), "flights").champion
        assert champion == aliases(running)["champion"]
    with pytest.raises(Conflict):
        controller.roll_back(Change(running, **who), "flights")


def test_a_paused_rollout_keeps_its_share_until_resumed(running: Any, who: Any) -> None:
    assert RolloutState.HELD is controller.pause(Change(running, **who), "flights").state
    assert [(1, 0.9), (2, 0.1)] == shares(running)
    for change, code in ((controller.advance, "rollout_held"), (controller.pause, "rollout_held")):
        with pytest.raises(Conflict) as raised:
            change(Change(running, **who), "flights")
        assert code == raised.value.code
    assert RolloutState.RUNNING is controller.resume(Change(running, **who), "flights").state
    with pytest.raises(Conflict, match="running already"):
        controller.resume(Change(running, **who), "flights")


def test_a_held_rollout_can_be_promoted_or_rolled_back(running: Any, who: Any) -> None:
    controller.pause(Change(running, **who), "flights")
    assert 1 == controller.roll_back(Change(running, **who), "flights").champion


def test_a_stale_controller_is_fenced_by_the_epoch(running: Any, who: Any) -> None:
    seen = running.epoch()
    controller.roll_back(Change(running, **who), "flights")
    controller.start(Change(running, **who), "flights", running.rollouts("flights")[0].plan, 3)
    route, log = running.route("flights"), told(running)
    for change in CHANGES.values():
        with pytest.raises(Conflict):
            change(Change(running, expected_epoch=seen, **who), "flights")
    assert (route, log) == (running.route("flights"), told(running))


def test_every_change_is_in_the_audit_log_with_its_epoch(running: Any, who: Any) -> None:
    for name in ("advance", "pause", "resume", "promote"):
        CHANGES[name](Change(running, **who), "flights")
    controller.roll_back(Change(running, **who), "flights")
    assert ["deploy", "start", "ramp", "pause", "resume", "promote", "roll_back"] == told(running)
    assert [1, 2, 3, 4, 5, 6, 7] == [entry.detail["epoch"] for entry in running.log]
    assert audit.verify(running.log) is None


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("nobody", [{"actor": " "}, {"reason": ""}])
def test_a_change_without_actor_or_reason_changes_nothing(
    running: Any, who: Any, change: str, nobody: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput, match="A change needs"):
        CHANGES[change](Change(running, **who | nobody), "flights")
    assert (2, ["deploy", "start"]) == (running.epoch(), told(running))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_to_a_model_that_is_not_there_is_refused(
    state: Any, who: Any, change: str
) -> None:
    with pytest.raises(NotFound):
        CHANGES[change](Change(state, **who), "unknown")


@pytest.mark.parametrize(
    ("candidate", "kind", "code"),
    [
        (9, NotFound, "version_not_found"),
        (1, InvalidPlan, "candidate_is_champion"),
    ],
)
def test_a_candidate_that_cannot_be_is_refused(
    state: Any, plan: RolloutPlan, who: Any, candidate: int, kind: type[TrimtabError], code: str
) -> None:
    controller.deploy_first(Change(state, **who), "flights", 1)
    with pytest.raises(kind) as raised:
        controller.start(Change(state, **who), "flights", plan, candidate)
    assert code == raised.value.code


def test_two_rollouts_of_one_model_are_refused(running: Any, plan: RolloutPlan, who: Any) -> None:
    with pytest.raises(Conflict, match="Version 2 of 'flights' is being rolled out") as raised:
        controller.start(Change(running, **who), "flights", plan, 3)
    assert "rollout_running" == raised.value.code


def test_a_rollout_needs_a_champion(state: Any, plan: RolloutPlan, who: Any) -> None:
    with pytest.raises(NotFound) as raised:
        controller.start(Change(state, **who), "flights", plan, 2)
    assert "not_deployed" == raised.value.code


def test_unknown_versions_are_not_deployed(state: Any, who: Any) -> None:
    with pytest.raises(NotFound, match="Registered: 1, 2, 3"):
        controller.deploy_first(Change(state, **who), "flights", 9)


def test_a_signature_that_differs_must_be_forced_by_name(
    state: Any, plan: RolloutPlan, who: Any
) -> None:
    controller.deploy_first(Change(state, **who), "flights", 1)
    version = state.version("flights", 2)
    extra = FeatureSpec(name="humidity", kind=FeatureKind.NUMERIC)
    state.kept_versions["flights", 2] = replace(
        version, signature=replace(version.signature, features=(extra,))
    )
    with pytest.raises(InvalidPlan, match="humidity"):
        controller.start(Change(state, **who), "flights", plan, 2)
    controller.start(Change(state, **who), "flights", plan, 2, force=("signature_differs",))
    assert ["signature_differs"] == state.log[-1].detail["forced"]


def test_other_feature_views_must_be_forced_by_name(
    state: Any, plan: RolloutPlan, who: Any
) -> None:
    controller.deploy_first(Change(state, **who), "flights", 1)
    version = state.version("flights", 2)
    state.kept_versions["flights", 2] = replace(version, views=("weather",))
    with pytest.raises(InvalidPlan, match="the feature views none, the candidate weather") as found:
        controller.start(Change(state, **who), "flights", plan, 2)
    assert ("views_differ", "candidate") == (found.value.code, found.value.path)
    controller.start(Change(state, **who), "flights", plan, 2, force=("views_differ",))
    assert ["views_differ"] == state.log[-1].detail["forced"]


def test_each_rollout_has_a_salt_of_its_own(running: Any, plan: RolloutPlan, who: Any) -> None:
    controller.roll_back(Change(running, **who), "flights")
    controller.start(Change(running, **who), "flights", plan, 2)
    assert ["flights-0001", "flights-0002"] == [r.id for r in running.rollouts("flights")]
    assert 2 == len({r.salt for r in running.rollouts("flights")})


@pytest.fixture
def asking(state: Any, plan: RolloutPlan, who: Any) -> Any:
    """A rollout whose second step wants an operator and whose third wants an admin."""
    first, second, third = plan.steps
    steps = (first, replace(second, approval="operator"), replace(third, approval="admin"))
    controller.deploy_first(Change(state, **who), "flights", 1)
    controller.start(Change(state, **who), "flights", replace(plan, steps=steps), 2)
    return state


def test_approvals_go_step_by_step_to_the_role_that_is_named(asking: Any, who: Any) -> None:
    approved = controller.approve(Change(asking, **who), "flights", role="operator")
    assert (1,) == approved.approved
    assert approved == asking.rollout("flights-0001")
    assert ("approve", 1, "operator") == (
        told(asking)[-1], asking.log[-1].detail["approved"], asking.log[-1].detail["role"],
    )  # fmt: skip
    with pytest.raises(Refused) as raised:
        controller.approve(Change(asking, **who), "flights", role="operator")
    assert "wrong_role" == raised.value.code
    assert (1, 2) == controller.approve(Change(asking, **who), "flights", role="admin").approved
    with pytest.raises(Conflict) as nothing:
        controller.approve(Change(asking, **who), "flights", role="admin")
    assert "nothing_to_approve" == nothing.value.code


def test_a_role_that_only_reads_approves_nothing(asking: Any, who: Any) -> None:
    with pytest.raises(Refused):
        controller.approve(Change(asking, **who), "flights", role="viewer")


def test_a_clock_that_was_set_back_does_not_change_which_rollout_is_the_newest(
    state: Any, plan: RolloutPlan
) -> None:
    clock = FakeClock(1_000.0)
    who: dict[str, Any] = {"actor": "ada", "reason": "because", "clock": clock}
    at_once = replace(plan, outcome_delay_seconds=0.0)
    controller.deploy_first(Change(state, **who), "flights", 1)
    first = controller.start(Change(state, **who), "flights", at_once, 2)
    controller.roll_back(Change(state, **who), "flights")
    clock.advance(-900.0)
    second = controller.start(Change(state, **who), "flights", at_once, 3)
    newest = max(state.rollouts("flights"), key=lambda one: (one.started_at, one.id))
    assert (second.id, 100.0) == (newest.id, clock.now())
    assert first.started_at <= second.started_at
