"""A backlog is worked off in ticks that are short, whatever a record costs now."""

from __future__ import annotations

import pytest

from trimtab.serve.portion import LEAST_ROWS, MOST_SECONDS, Portion

FIXED = 0.01


@pytest.mark.parametrize("cost", [1e-6, 7e-6, 30e-6, 200e-6])
def test_ticks_over_a_backlog_take_a_moment(cost: float) -> None:
    portion = Portion(20_000)
    for _ in range(12):
        portion.took(portion.rows, FIXED + portion.rows * cost)
    seconds = FIXED + portion.rows * cost
    assert seconds <= MOST_SECONDS * 1.05
    assert seconds >= MOST_SECONDS * 0.45 or portion.rows == 20_000


def test_a_machine_that_is_wanted_elsewhere_makes_ticks_smaller_and_lets_them_grow_again() -> None:
    portion = Portion(20_000)
    for _ in range(12):
        portion.took(portion.rows, portion.rows * 1e-3)
    assert portion.rows == LEAST_ROWS
    for _ in range(12):
        portion.took(portion.rows, portion.rows * 1e-6)
    assert portion.rows == 20_000


def test_a_tick_that_found_less_than_it_could_take_says_nothing_unless_it_was_slow() -> None:
    portion = Portion(20_000)
    rows = portion.rows
    assert not portion.took(rows - 1, 0.001)
    assert portion.rows == rows
    assert not portion.took(0, 10.0)  # somebody else held the lock
    assert portion.rows == LEAST_ROWS


def test_no_more_than_is_set_are_taken_and_a_full_tick_tells_of_a_backlog() -> None:
    portion = Portion(20)
    assert portion.rows == 20
    assert portion.took(20, 1e-6)
    assert portion.took(20, 10.0)
    assert portion.rows == 20
