"""Rollbacks of one host: durable, idempotent, settled once, and never stronger than what came later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner
from tests.registered import register, version

from trimtab.cli.main import cli
from trimtab.config import Config, StateConfig
from trimtab.errors import Conflict, InvalidInput, Unavailable
from trimtab.rollout import audit, controller
from trimtab.rollout.change import Change
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import (
    GuardrailSpec,
    RampStep,
    RolloutPlan,
    RolloutState,
    Route,
    UnitEvent,
)
from trimtab.wiring.board import LiveBoard
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.host_rollbacks import open_overrides
from trimtab.wiring.rollback import roll_back

WHO = {"actor": "ada", "reason": "it hurts"}
PLAN = RolloutPlan(
    steps=(RampStep(share=0.1, bake_seconds=60.0), RampStep(share=0.5, bake_seconds=60.0)),
    guardrails=(GuardrailSpec(name="errors", event=UnitEvent.ERROR),),
)
CLOCK = FakeClock(1_000.0)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """Version 1 deployed, version 2 at its first step."""
    opened = Deployment.open(Config(state=StateConfig(dir=str(tmp_path / "state"))), CLOCK)
    with opened.state.transaction() as state:
        register(state, (version("m", number, "x") for number in (1, 2, 3)))
    opened.deploy("m", 1, **WHO)
    opened.start_rollout("m", 2, PLAN, **WHO)
    yield opened
    opened.close()


def actions(deployment: Deployment) -> list[str]:
    with deployment.state.reading() as state:
        entries = state.audit.entries()
    assert audit.verify(entries) is None
    return [entry.action for entry in entries]


def shares(deployment: Deployment) -> list[tuple[int, float]]:
    with deployment.state.reading() as state:
        route = state.control.route("m")
    assert route is not None
    return [(arm.version, arm.share) for arm in route.arms]


def test_an_override_is_settled_once_as_a_rollback(deployment: Deployment) -> None:
    override = deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)
    assert ("m-0001", (2,), 1) == (override.undo.rollout, override.undo.off, override.undo.to)
    assert [(1, 0.9), (2, 0.1)] == shares(deployment)
    assert (override,) == deployment.settle()
    assert ([(1, 1.0)], ()) == (shares(deployment), deployment.settle())
    assert ["deploy", "start", "roll_back"] == actions(deployment)


def test_a_settling_that_died_before_it_forgot_does_nothing_twice(deployment: Deployment) -> None:
    override = deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)
    kept = next(deployment.host_rollbacks.folder.glob("*.override"))
    left = kept.read_bytes()
    deployment.settle()
    kept.write_bytes(left)
    assert (override,) == deployment.settle()
    assert not kept.exists()
    assert ["deploy", "start", "roll_back"] == actions(deployment)


def test_a_second_take_off_is_the_first(deployment: Deployment) -> None:
    first = deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)
    again = deployment.host_rollbacks.take_off("m", actor="bob", reason="me too", clock=CLOCK)
    assert first == again


def test_a_rollback_that_was_written_meanwhile_leaves_nothing_to_do(deployment: Deployment) -> None:
    override = deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)
    with deployment.state.transaction() as state:  # another host, which knows nothing of this one
        from_elsewhere(state)
    deployment.settle()
    assert ["deploy", "start", "roll_back", "override"] == actions(deployment)
    with deployment.state.reading() as state:
        told = state.audit.entries()[-1]
    assert (True, override.at) == (told.detail["moot"], told.detail["local_at"])


def from_elsewhere(state: Any) -> None:
    controller.roll_back(Change(state, actor="elsewhere", reason="there too", clock=CLOCK), "m")


def test_a_promotion_by_who_knew_nothing_of_it_is_undone(deployment: Deployment) -> None:
    deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)
    with deployment.state.transaction() as state:
        controller.promote(Change(state, actor="elsewhere", reason="late", clock=CLOCK), "m")
    deployment.settle()
    assert [(1, 1.0)] == shares(deployment)


def test_a_repeated_rollback_goes_back_no_further(deployment: Deployment) -> None:
    deployment.promote("m", **WHO)
    deployment.start_rollout("m", 3, PLAN, **WHO)
    deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)
    route = deployment.roll_back("m", **WHO)
    assert (2, [(2, 1.0)]) == (route.champion, shares(deployment))


def test_whoever_changes_something_writes_the_override_first(deployment: Deployment) -> None:
    deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)
    begun = deployment.start_rollout("m", 3, PLAN, **WHO)
    assert (1, 3) == (begun.control, begun.candidate)
    assert ["deploy", "start", "roll_back", "start"] == actions(deployment)


def test_what_cannot_be_rolled_back_is_refused(deployment: Deployment) -> None:
    with pytest.raises(InvalidInput):
        deployment.host_rollbacks.take_off("m", actor="ada", reason=" ", clock=CLOCK)
    deployment.roll_back("m", **WHO)
    with pytest.raises(Conflict, match="knows of no version of 'm' to go back to"):
        deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)


def test_a_damaged_file_is_left_out_and_said(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)
    next(deployment.host_rollbacks.folder.glob("*.override")).write_bytes(b"{")
    assert {} == deployment.host_rollbacks.pending()
    assert "override_damaged" in caplog.text


def test_an_unreachable_database_stops_no_rollback(deployment: Deployment) -> None:
    folder = str(deployment.dir)
    url = "postgresql://nobody@127.0.0.1:9/nothing"
    done = roll_back(
        Config(state=StateConfig(dir=folder, url=url)), "m", actor="ada", reason="it hurts"
    )
    assert done == open_overrides(Config(state=StateConfig(dir=folder))).pending()["m"]
    config = deployment.dir / "trimtab.toml"
    config.write_text(f'[state]\ndir = "{folder}"\nurl = "{url}"\n')
    told = CliRunner().invoke(cli, ["rollback", "m", "--reason", "x", "--config", str(config)])
    assert 0 == told.exit_code
    assert "version 2 is off the traffic of this host, version 1 answers" in told.output


class Gone:
    """A state that can be read until it is gone."""

    def __init__(self, state: Any) -> None:
        self.state, self.there = state, True

    def reading(self) -> Any:
        self.look()
        return self.state.reading()

    def epoch(self) -> Any:
        self.look()
        return self.state.epoch()

    def look(self) -> None:
        if not self.there:
            raise Unavailable("gone", code="state_unavailable")


def same_champion(live: Any, route: Route) -> Any:
    return SimpleNamespace(route=route) if live.route.champion == route.champion else None


@pytest.mark.parametrize("promoted", [False, True])
def test_a_board_follows_an_override_without_the_state(
    deployment: Deployment, *, promoted: bool
) -> None:
    state, hints = Gone(deployment.state), list[str]()
    board = LiveBoard(
        cast("Any", state), deployment.epoch, cast("Any", lambda route: SimpleNamespace(route=route)),
        lambda: hints.append("stale"), Metrics(), cast("Any", same_champion), None, deployment.host_rollbacks,
    )  # fmt: skip
    board.refresh()
    if promoted:
        deployment.promote("m", **WHO)
        board.refresh()
    state.there = False
    before = [arm.version for arm in board.live("m").route.arms]
    deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)
    after = board.live("m").route
    assert ([2] if promoted else [1, 2], [1]) == (before, [arm.version for arm in after.arms])
    assert (after, []) == (board.live("m").route, hints)
    state.there = True
    deployment.settle()
    assert board.refresh()
    assert ([(1, 1.0)], 1) == (shares(deployment), board.live("m").route.champion)


def test_a_board_that_starts_under_an_override_keeps_to_it(deployment: Deployment) -> None:
    deployment.host_rollbacks.take_off("m", clock=CLOCK, **WHO)
    board = LiveBoard(
        deployment.state, deployment.epoch, cast("Any", lambda route: SimpleNamespace(route=route)),
        lambda: None, Metrics(), cast("Any", same_champion), None, deployment.host_rollbacks,
    )  # fmt: skip
    board.refresh()
    assert [1] == [arm.version for arm in board.live("m").route.arms]
    with deployment.state.reading() as state:
        assert RolloutState.RUNNING is state.control.rollouts("m")[0].state
