"""The watcher lets workers go before it, and no longer once it falls behind."""

from __future__ import annotations

import os
import threading

from trimtab.serve.calm import (
    HURRIED_SECONDS,
    LATE_SECONDS,
    Calm,
    may_return,
    other_threads,
    set_policy,
)
from trimtab.testing import FakeClock


def test_threads_are_calm_until_a_piece_of_work_takes_too_long_and_again_later() -> None:
    clock, threads, told = FakeClock(), {1}, list[tuple[int, bool]]()
    calm = Calm(lambda thread, idle: told.append((thread, idle)), lambda: threads, clock.monotonic)
    calm.look()
    calm.look()
    assert told == [(1, True)]
    with calm.working():
        clock.advance(LATE_SECONDS)
        calm.look()
        assert told == [(1, True)]
        clock.advance(0.1)
        threads.add(2)
        calm.look()
        assert sorted(told[1:]) == [(1, False), (2, False)]
    clock.advance(HURRIED_SECONDS - 0.1)
    calm.look()
    assert len(told) == 3
    clock.advance(0.1)
    calm.look()
    assert sorted(told[3:]) == [(1, True), (2, True)]


def test_a_pause_between_pieces_of_work_is_not_late() -> None:
    clock, told = FakeClock(), list[bool]()
    calm = Calm(lambda _, idle: told.append(idle), lambda: {1}, clock.monotonic)
    with calm.working():
        clock.advance(0.5)
    clock.advance(100.0)
    calm.look()
    assert told == [True]


def test_a_threads_policy_is_set_and_taken_back_where_that_is_allowed() -> None:
    found: list[int] = []

    def asked() -> None:
        set_policy(0, True)
        found.append(os.sched_getscheduler(0))
        if may_return():
            set_policy(0, False)
            found.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=asked)
    thread.start()
    thread.join()
    assert found in ([os.SCHED_IDLE], [os.SCHED_IDLE, os.SCHED_OTHER])
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_other_threads_are_all_but_the_one_that_asks() -> None:
    done, numbers = threading.Event(), list[int]()

    def wait() -> None:
        numbers.append(threading.get_native_id())
        done.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    found = other_threads()
    done.set()
    thread.join()
    assert numbers[0] in found
    assert threading.get_native_id() not in found
    set_policy(numbers[0], True)  # it has ended, which is nobody's fault
