"""The board switches by epoch, and one model that cannot be loaded holds up no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trimtab.errors import ModelFailure, NotFound
from trimtab.protocols import StateStore
from trimtab.rollout.epoch import MmapEpoch
from trimtab.store.state import open_state
from trimtab.telemetry import Metrics
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


def test_an_unknown_model_is_named_with_those_that_are_known(
    state: StateStore, tmp_path: Path
) -> None:
    board = board_over(state, tmp_path, Builder(), [])
    deploy(state, "m", 1)
    board.refresh()
    with pytest.raises(NotFound, match="'n'") as unknown:
        board.live("n")
    assert ("unknown_model", True) == (unknown.value.code, "m" in unknown.value.hint)
