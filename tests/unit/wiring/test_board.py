"""The board switches by epoch, and one model that cannot be loaded holds up no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from trimtab.errors import ModelFailure, NotFound, TrimtabError, Unavailable
from trimtab.protocols import StateStore
from trimtab.rollout.change import Change
from trimtab.rollout.epoch import MmapEpoch
from trimtab.rollout.residence import load, unload
from trimtab.store.state import open_state
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import Arm, Route
from trimtab.wiring.board import LiveBoard


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    store = open_state(f"sqlite:///{tmp_path}/state.db")
    yield store
    store.close()


def deploy(state: StateStore, model: str, version: int) -> int:
    with state.transaction() as tx:
        epoch = tx.control.advance(tx.control.epoch())
        arms = (Arm(name="champion", version=version, share=1.0),)
        tx.control.put_route(
            Route(model=model, epoch=epoch, arms=arms, slots=bytes(10_000), salt="s")
        )
    return epoch


class Builder:
    """Builds what it is not told to fail at."""

    def __init__(self) -> None:
        self.failing: set[tuple[str, int]] = set()
        self.built: list[tuple[str, int]] = []

    def __call__(self, route: Route) -> Any:
        key = (route.model, route.champion)
        if key in self.failing:
            raise ModelFailure("cannot be loaded")
        self.built.append(key)
        return SimpleNamespace(route=route)


def board_over(state: StateStore, tmp_path: Path, build: Any, hints: list[str]) -> LiveBoard:
    cell = MmapEpoch(tmp_path / "epoch")
    return LiveBoard(state, cell, build, lambda: hints.append("stale"), Metrics())


def test_a_request_notices_a_new_epoch_and_goes_on_with_what_is_loaded(
    state: StateStore, tmp_path: Path
) -> None:
    hints: list[str] = []
    build = Builder()
    board = board_over(state, tmp_path, build, hints)
    MmapEpoch(tmp_path / "epoch").publish(deploy(state, "m", 1))
    assert board.refresh()
    assert 1 == board.live("m").route.champion
    assert [] == hints

    MmapEpoch(tmp_path / "epoch").publish(deploy(state, "m", 2))
    assert 1 == board.live("m").route.champion
    assert ["stale"] == hints
    assert board.refresh()
    assert 2 == board.live("m").route.champion


def test_only_what_changed_is_built_again(state: StateStore, tmp_path: Path) -> None:
    build = Builder()
    board = board_over(state, tmp_path, build, [])
    deploy(state, "a", 1)
    deploy(state, "b", 1)
    board.refresh()
    deploy(state, "b", 2)
    board.refresh()
    board.refresh()
    assert [("a", 1), ("b", 1), ("b", 2)] == build.built


def test_a_model_that_cannot_be_loaded_keeps_its_old_version_and_holds_up_no_other(
    state: StateStore, tmp_path: Path
) -> None:
    build = Builder()
    board = board_over(state, tmp_path, build, [])
    deploy(state, "a", 1)
    deploy(state, "b", 1)
    board.refresh()
    build.failing.add(("a", 2))
    deploy(state, "a", 2)
    deploy(state, "b", 2)
    assert not board.refresh()
    assert (1, 2) == (board.live("a").route.champion, board.live("b").route.champion)

    build.failing.clear()
    assert board.refresh()
    assert 2 == board.live("a").route.champion


def test_what_cannot_be_loaded_is_told_once_a_reason_and_when_it_is_over(
    state: StateStore, tmp_path: Path
) -> None:
    build, told = Builder(), list[object]()

    def failed(route: Route, _: TrimtabError, answers: int | None) -> None:
        told.append((route.model, route.champion, answers))

    board = board_over(state, tmp_path, build, [])
    board.tell(failed, lambda models: told.append({*models}))
    build.failing |= {("a", 1), ("b", 2)}
    for model in ("a", "b"):
        deploy(state, model, 1)
    for _ in range(3):
        board.refresh()
    assert [("a", 1, None)] == told
    with pytest.raises(Unavailable) as absent:
        board.live("a")
    assert ("model_not_loaded", True) == (absent.value.code, board.knows("a"))

    deploy(state, "b", 2)
    for _ in range(2):
        assert not board.refresh()
    assert [("a", 1, None), ("b", 2, 1)] == told

    build.failing.remove(("a", 1))
    assert not board.refresh()
    assert [{"a"}] == told[2:]
    assert 1 == board.live("a").route.champion

    deploy(state, "b", 1)
    assert board.refresh()
    assert [{"b"}] == told[3:]
    assert board.switch()
    assert 4 == len(told)


def test_an_unknown_model_is_named_with_those_that_are_known(
    state: StateStore, tmp_path: Path
) -> None:
    board = board_over(state, tmp_path, Builder(), [])
    deploy(state, "m", 1)
    board.refresh()
    with pytest.raises(NotFound, match="'n'") as unknown:
        board.live("n")
    assert ("unknown_model", True) == (unknown.value.code, "m" in unknown.value.hint)


class Rebuilder:
    """Rebuilds a model whose champion stays; notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def __call__(self, live: Any, route: Route) -> Any:
        self.asked.append((route.model, route.champion))
        stays = live.route.champion == route.champion
        return SimpleNamespace(route=route) if stays else None


def salted(state: StateStore, model: str, version: int, salt: str) -> int:
    """A new route of the same champion, as a ramp or a rollback makes one."""
    epoch = deploy(state, model, version)
    with state.transaction() as tx:
        route = tx.control.route(model)
        assert route is not None
        tx.control.put_route(replace(route, salt=salt))
    return epoch


def test_a_request_switches_by_itself_to_what_is_loaded(state: StateStore, tmp_path: Path) -> None:
    hints: list[str] = []
    rebuild, cell = Rebuilder(), MmapEpoch(tmp_path / "epoch")
    board = LiveBoard(
        state, cell, Builder(), lambda: hints.append("stale"), Metrics(), cast("Any", rebuild)
    )
    cell.publish(deploy(state, "a", 1))
    cell.publish(deploy(state, "b", 1))
    board.refresh()
    cell.publish(salted(state, "b", 1, "other"))
    assert "other" == board.live("b").route.salt
    assert (3, []) == (board.epoch, hints)
    assert [("b", 1)] == rebuild.asked


def test_what_has_to_be_loaded_is_left_to_the_refresh_and_tried_once(
    state: StateStore, tmp_path: Path
) -> None:
    hints: list[str] = []
    rebuild, cell = Rebuilder(), MmapEpoch(tmp_path / "epoch")
    board = LiveBoard(
        state, cell, Builder(), lambda: hints.append("stale"), Metrics(), cast("Any", rebuild)
    )
    cell.publish(deploy(state, "a", 1))
    cell.publish(deploy(state, "b", 1))
    board.refresh()
    deploy(state, "a", 2)
    cell.publish(salted(state, "b", 1, "other"))
    assert [1, 1] == [board.live("a").route.champion for _ in range(2)]
    assert "other" == board.live("b").route.salt
    assert (["stale"] * 3, 2) == (hints, len(rebuild.asked))
    assert board.refresh()
    assert 2 == board.live("a").route.champion
    assert 3 == len(hints)


class SlowBuilder(Builder):
    """Takes until it is let go for one version."""

    def __init__(self, slow: tuple[str, int]) -> None:
        super().__init__()
        self.slow, self.began, self.go_on = slow, threading.Event(), threading.Event()

    def __call__(self, route: Route) -> Any:
        if (route.model, route.champion) == self.slow:
            self.began.set()
            assert self.go_on.wait(30)
        return super().__call__(route)


@pytest.mark.parametrize("by_request", [False, True])
def test_a_rollback_waits_for_no_load(
    state: StateStore, tmp_path: Path, *, by_request: bool
) -> None:
    cell, build = MmapEpoch(tmp_path / "epoch"), SlowBuilder(("a", 2))
    board = LiveBoard(state, cell, build, lambda: None, Metrics(), cast("Any", Rebuilder()))
    deploy(state, "a", 1)
    deploy(state, "b", 1)
    board.refresh()
    cell.publish(deploy(state, "a", 2))
    loader = threading.Thread(target=board.refresh)
    loader.start()
    assert build.began.wait(30)
    cell.publish(salted(state, "b", 1, "rolled back"))
    if not by_request:
        assert not board.switch()  # "a" has still to be loaded
    assert "rolled back" == board.live("b").route.salt
    cell.publish(salted(state, "a", 1, "thought better of"))
    assert by_request or board.switch()
    assert "thought better of" == board.live("a").route.salt
    assert 5 == board.epoch
    build.go_on.set()
    loader.join(30)
    assert ("thought better of", 1) == (
        board.live("a").route.salt,
        board.live("a").route.champion,
    )


def test_what_was_loaded_is_shown_as_it_is_wanted_by_then(
    state: StateStore, tmp_path: Path
) -> None:
    cell, build = MmapEpoch(tmp_path / "epoch"), SlowBuilder(("a", 2))
    board = LiveBoard(state, cell, build, lambda: None, Metrics(), cast("Any", Rebuilder()))
    deploy(state, "a", 1)
    board.refresh()
    deploy(state, "a", 2)
    loader = threading.Thread(target=board.refresh)
    loader.start()
    assert build.began.wait(30)
    salted(state, "a", 2, "moved on")
    build.go_on.set()
    loader.join(30)
    assert (2, "moved on") == (board.live("a").route.champion, board.live("a").route.salt)
    assert [("a", 1), ("a", 2)] == build.built


def test_a_state_that_cannot_be_read_leaves_what_is_loaded(
    state: StateStore, tmp_path: Path
) -> None:
    hints: list[str] = []
    cell = MmapEpoch(tmp_path / "epoch")
    broken = Broken(state)
    board = LiveBoard(
        cast("Any", broken), cell, Builder(), lambda: hints.append("stale"), Metrics(),
        cast("Any", Rebuilder()),
    )  # fmt: skip
    cell.publish(deploy(state, "m", 1))
    board.refresh()
    cell.publish(salted(state, "m", 1, "other"))
    broken.down = True
    assert "s" == board.live("m").route.salt
    assert ["stale"] == hints
    broken.down = False
    assert board.refresh()
    assert "other" == board.live("m").route.salt


class Broken:
    """A state that cannot be read while it is down, and notes how it is."""

    def __init__(self, state: StateStore) -> None:
        self.state, self.down = state, False
        self.looks: list[str] = []

    def reading(self) -> Any:
        self.look("reading")
        return self.state.reading()

    def epoch(self) -> int:
        self.look("epoch")
        return self.state.epoch()

    def look(self, how: str) -> None:
        self.looks.append(how)
        if self.down:
            raise Unavailable("the database is gone", code="state_unavailable")


def test_a_model_out_of_service_is_let_go_and_comes_back_by_itself_or_with_a_new_route(
    state: StateStore, tmp_path: Path
) -> None:
    gone: list[str] = []
    cell, builder = MmapEpoch(tmp_path / "epoch"), Builder()
    board = LiveBoard(
        state, cell, builder, lambda: None, Metrics(), cast("Any", Rebuilder()), gone.append
    )

    def shift(step: Callable[[Change, str], None]) -> None:
        with state.transaction() as tx:
            step(Change(tx, "ann", "night", FakeClock()), "a")
            epoch = tx.control.epoch()
        cell.publish(epoch)

    deploy(state, "a", 1)
    cell.publish(deploy(state, "b", 1))
    board.refresh()
    shift(unload)
    shift(unload)
    assert 1 == board.live("b").route.champion
    with pytest.raises(NotFound):
        board.live("a")
    assert ["a"] == gone
    shift(load)
    assert board.refresh()
    assert 1 == board.live("a").route.champion
    shift(unload)
    cell.publish(deploy(state, "a", 2))
    assert board.refresh()
    assert 2 == board.live("a").route.champion
    with state.reading() as tx:
        assert ["unload", "load", "unload"] == [entry.action for entry in tx.audit.entries("a")]
    with pytest.raises(NotFound, match="not deployed"), state.transaction() as tx:
        unload(Change(tx, "ann", "night", FakeClock()), "c")


def test_a_look_that_finds_nothing_new_begins_no_transaction(
    state: StateStore, tmp_path: Path
) -> None:
    deploy(state, "m", 1)
    watched = Broken(state)
    board = board_over(cast("Any", watched), tmp_path, Builder(), [])
    assert board.refresh()
    watched.looks.clear()
    assert board.switch()
    assert board.refresh()
    assert ["epoch", "epoch"] == watched.looks
    deploy(state, "m", 2)  # nobody tells
    assert not board.switch()
    assert ["epoch", "reading"] == watched.looks[2:]
