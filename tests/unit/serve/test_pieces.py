"""Work gives a core that others want back by itself, and keeps one that nobody wants."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trimtab.serve.pieces import (
    FREE_SECONDS,
    LEAST_SECONDS,
    MOST_REST_SECONDS,
    PIECE_SECONDS,
    Pieces,
    in_pieces,
)


class Core:
    """What a thread has had of its core, and what its pieces did about it."""

    def __init__(self) -> None:
        self.ran = self.waited = self.timer = 0.0
        self.rests: list[float] = []
        self.looks: list[tuple[float, float]] = []
        self.pieces = Pieces(
            lambda: (self.ran, self.waited),
            self.later,
            self.rests.append,
            lambda ran, waited: self.looks.append((ran, waited)),
        )

    def later(self, seconds: float) -> None:
        self.timer = seconds

    def work(self, ran: float, waited: float = 0.0) -> None:
        """Run and wait for so long, and be interrupted."""
        self.ran += ran
        self.waited += waited
        self.pieces.over()


def test_on_a_core_that_nobody_wants_it_never_rests_and_is_seldom_interrupted() -> None:
    core = Core()
    with core.pieces.cut():
        for _ in range(10):
            assert FREE_SECONDS == core.timer
            core.work(FREE_SECONDS, waited=20e-6)
    assert [] == core.rests


def test_on_one_that_is_wanted_it_rests_behind_each_short_piece_as_long_as_it_had_to_wait() -> None:
    core = Core()
    with core.pieces.cut():
        core.work(FREE_SECONDS, waited=2e-3)
        for waited in (0.3e-3, 5e-3):
            assert PIECE_SECONDS == core.timer
            core.work(PIECE_SECONDS, waited)
        assert [MOST_REST_SECONDS, 0.3e-3, MOST_REST_SECONDS] == pytest.approx(core.rests)
        core.work(PIECE_SECONDS)
        assert FREE_SECONDS == core.timer
    assert 3 == len(core.rests)


def test_who_waited_for_the_core_before_the_work_begins_with_a_short_piece() -> None:
    core = Core()
    core.waited = 1e-3
    with core.pieces.cut():
        assert PIECE_SECONDS == core.timer
    with core.pieces.cut():
        assert FREE_SECONDS == core.timer


def test_a_piece_is_over_when_the_work_has_run_for_so_long_itself() -> None:
    core = Core()
    core.waited = 1e-3
    with core.pieces.cut():
        core.work(0.4 * PIECE_SECONDS, waited=5e-3)  # another ran when the timer went off
        assert 0.6 * PIECE_SECONDS == pytest.approx(core.timer)
        core.work(0.59 * PIECE_SECONDS)
        assert LEAST_SECONDS == core.timer
        assert [] == core.rests
        core.work(0.02 * PIECE_SECONDS)
        assert [MOST_REST_SECONDS] == core.rests


def test_rests_count_as_time_in_which_it_could_have_run() -> None:
    core = Core()
    with core.pieces.cut():
        core.work(FREE_SECONDS, waited=1e-3)
        core.work(PIECE_SECONDS, waited=1e-3)
    first, second = core.looks
    assert (FREE_SECONDS, 1e-3) == first
    assert (FREE_SECONDS + PIECE_SECONDS, 2e-3 + MOST_REST_SECONDS) == pytest.approx(second)


def test_a_signal_that_was_on_its_way_when_the_work_ended_changes_nothing() -> None:
    core = Core()
    core.pieces.over()
    with core.pieces.cut():
        pass
    core.work(1.0, waited=1.0)
    assert ([], [], 0.0) == (core.rests, core.looks, core.timer)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Path]:
    """Where a thread's waiting is told; signals are handled as before behind the test."""
    before = signal.getsignal(signal.SIGALRM)
    file = tmp_path / "schedstat"
    file.write_text("0 1000 5\n")
    yield file
    signal.signal(signal.SIGALRM, before)


def test_a_timer_cuts_what_the_main_thread_does(told: Path) -> None:
    looks: list[float] = []
    pieces = in_pieces(told, lambda ran, _waited: looks.append(ran))
    assert pieces is not None
    with pieces.cut():
        until = time.thread_time() + 10 * FREE_SECONDS
        while time.thread_time() < until:
            pass
    assert 2 <= len(looks) <= 10
    assert (0.0, 0.0) == signal.getitimer(signal.ITIMER_REAL)


def test_where_waiting_is_not_told_or_no_signal_comes_nothing_is_cut(told: Path) -> None:
    assert in_pieces(told.parent / "nowhere") is None
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(in_pieces(told)))
    thread.start()
    thread.join()
    assert [None] == found
