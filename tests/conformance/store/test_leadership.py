"""One watcher leads at a time, on both databases; a deposed one's transaction leaves nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from trimtab.errors import Conflict
from trimtab.protocols import StateStore
from trimtab.store.state import open_state
from trimtab.testing import FakeClock
from trimtab.wiring.leadership import Leadership, LedState

SECONDS = 10.0


@pytest.fixture
def stores(url: str) -> Iterator[tuple[StateStore, StateStore]]:
    """Two processes' views of one database."""
    both = open_state(url), open_state(url)
    yield both
    for store in both:
        store.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000.0)


@pytest.fixture
def two(stores: tuple[StateStore, StateStore], clock: FakeClock) -> tuple[Leadership, Leadership]:
    first, second = stores
    return Leadership(first, "a", clock, SECONDS), Leadership(second, "b", clock, SECONDS)


def test_the_second_waits_until_the_lease_has_run_out(
    two: tuple[Leadership, Leadership], clock: FakeClock
) -> None:
    first, second = two
    assert (True, False) == (first.lead(), second.lead())
    clock.advance(SECONDS - 0.1)
    assert not second.lead()
    clock.advance(0.2)
    assert (True, 1, 2) == (second.lead(), first.term, second.term)


def test_work_renews_the_lease(two: tuple[Leadership, Leadership], clock: FakeClock) -> None:
    first, second = two
    first.lead()
    for _ in range(10):
        clock.advance(SECONDS * 0.6)
        with LedState(first.state, first).transaction():
            pass
        assert not second.lead()
    assert 1 == first.term


def test_a_deposed_leaders_transaction_is_refused_and_leaves_nothing(
    two: tuple[Leadership, Leadership], clock: FakeClock
) -> None:
    first, second = two
    first.lead()
    clock.advance(SECONDS + 1)
    second.lead()

    def act() -> None:
        with LedState(first.state, first).transaction() as state:
            state.save_setting("done by", "a")

    with pytest.raises(Conflict) as refused:
        act()
    assert ("deposed", None) == (refused.value.code, first.term)
    with first.state.reading() as state:
        assert state.setting("done by") is None
    assert not first.lead()


def test_nobody_takes_over_in_the_middle_of_a_transaction(
    two: tuple[Leadership, Leadership], clock: FakeClock
) -> None:
    first, second = two
    first.lead()
    clock.advance(SECONDS + 1)
    took: list[bool] = []
    with LedState(first.state, first).transaction() as state:
        taking = threading.Thread(target=lambda: took.append(second.lead()))
        taking.start()
        state.save_setting("done by", "a")
        taking.join(0.5)
    taking.join(20.0)
    assert ([False], 1) == (took, first.term)
    with second.state.reading() as state:
        assert "a" == state.setting("done by")


def test_who_resigns_is_followed_at_once_and_who_restarts_goes_on_in_a_new_term(
    two: tuple[Leadership, Leadership], clock: FakeClock
) -> None:
    first, second = two
    first.lead()
    again = Leadership(first.state, "a", clock, SECONDS)
    assert (True, 2) == (again.lead(), again.term)
    with pytest.raises(Conflict), LedState(first.state, first).transaction():
        pass
    again.resign()
    assert (True, 3) == (second.lead(), second.term)
    again.resign()
    assert not again.lead()


def test_a_lease_of_a_clock_that_was_far_ahead_binds_nobody(
    two: tuple[Leadership, Leadership], clock: FakeClock
) -> None:
    first, second = two
    clock.advance(1e6)
    first.lead()
    clock.advance(-1e6)
    assert (True, 2) == (second.lead(), second.term)
