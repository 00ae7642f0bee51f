"""The watcher lets workers go before it, and no longer once it falls behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from trimtab.serve.calm import (
    LEAST_RATIO,
    MOST_DEBT_SECONDS,
    Calm,
    calm_pieces,
    may_return,
    set_policy,
    threads_now,
)
from trimtab.wiring.giving_way import spent_by


class Work:
    """A thread's work on a core that others want, too.

    Args:
        calm: What the idle policy gives it of the core.
    """

    def __init__(self, calm: float) -> None:
        self.ran = self.waited = 0.0
        self.given = calm
        self._calm = calm
        self.policies: list[bool] = []

    def schedule(self, _: int, idle: bool) -> None:
        self.policies.append(idle)
        self.given = self._calm if idle else 2 * LEAST_RATIO

    def wanted(self, seconds: float) -> None:
        self.ran += seconds * self.given
        self.waited += seconds * (1 - self.given)


def test_on_a_core_that_is_always_wanted_the_work_gets_its_twentieth() -> None:
    work = Work(calm=0.003)
    calm = Calm(work.schedule, lambda: {1})
    for _ in range(10_000):
        work.wanted(0.1)
        calm.look(work.ran, work.waited)
    assert abs(work.ran - 1_000 * LEAST_RATIO) <= 2 * MOST_DEBT_SECONDS


def test_it_gets_that_too_if_it_looks_seldom() -> None:
    work = Work(calm=0.003)
    calm = Calm(work.schedule, lambda: {1})
    for _ in range(1_000):
        work.wanted(3.0)  # until it has run for a few of its pieces
        calm.look(work.ran, work.waited)
    assert work.ran >= 3_000 * LEAST_RATIO - 2 * MOST_DEBT_SECONDS


def test_what_even_the_usual_policy_does_not_give_is_not_owed_for_ever() -> None:
    work = Work(calm=0.003)
    calm = Calm(work.schedule, lambda: {1})
    for given in [0.01] * 10_000 + [2 * LEAST_RATIO] * 150:
        work.given = given
        work.wanted(0.1)
        calm.look(work.ran, work.waited)
    assert work.policies == [True, False, True]


def test_it_looks_ten_times_in_a_second_in_which_it_could_run() -> None:
    looks: list[int] = []

    def threads() -> set[int]:
        looks.append(1)
        return {1}

    calm = Calm(lambda _thread, _idle: None, threads)
    for n in range(1_025):
        calm.look(n / 2_048, n / 2_048)
    assert 10 == len(looks)


def test_it_stays_calm_through_a_peak_and_catches_up_behind_it() -> None:
    work = Work(calm=0.003)
    calm = Calm(work.schedule, lambda: {1})
    for given in (0.003, 2 * LEAST_RATIO) * 10:
        work.given = given
        for _ in range(90):
            work.wanted(0.1)
            calm.look(work.ran, work.waited)
    assert work.policies == [True]


def test_as_soon_as_it_gets_that_without_it_is_calm_again_however_long_it_takes() -> None:
    work = Work(calm=0.003)
    calm = Calm(work.schedule, lambda: {1})
    for _ in range(110):
        work.wanted(0.1)
        calm.look(work.ran, work.waited)
    assert work.policies == [True, False]
    work._calm = 2 * LEAST_RATIO
    work.policies.clear()
    for _ in range(1_000):
        work.wanted(0.1)
        calm.look(work.ran, work.waited)
    assert work.policies == [True]


def test_each_new_thread_gets_the_policy_that_is_right_now() -> None:
    threads, told = {1}, list[tuple[int, bool]]()
    work = Work(calm=0.0)
    calm = Calm(lambda thread, idle: told.append((thread, idle)), lambda: threads)
    calm.look(work.ran, work.waited)
    threads.add(2)
    work.wanted(0.1)
    calm.look(work.ran, work.waited)
    assert told == [(1, True), (2, True)]
    work.wanted(MOST_DEBT_SECONDS / LEAST_RATIO)
    threads.add(3)
    calm.look(work.ran, work.waited)
    assert sorted(told[2:]) == [(1, False), (2, False), (3, False)]


def test_what_a_thread_was_given_is_read_where_the_system_tells_it() -> None:
    path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    before = spent_by(path)
    sum(range(200_000))
    os.sched_yield()  # brings what is told up to now; else the clock's next tick does
    ran, waited = spent_by(path)
    assert 0 < before[0] < ran
    assert 0 <= before[1] <= waited


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


def test_what_a_calm_thread_has_started_may_be_as_usual() -> None:
    found: list[str] = []

    def started() -> None:
        set_policy(0, True)
        told = "import os; from trimtab.serve.calm import be_as_usual; be_as_usual(); print(os.sched_getscheduler(0))"
        ran = subprocess.run(
            [sys.executable, "-c", told], capture_output=True, text=True, check=True
        )
        found.append(ran.stdout)

    thread = threading.Thread(target=started)
    thread.start()
    thread.join()
    assert [f"{os.SCHED_OTHER if may_return() else os.SCHED_IDLE}\n"] == found


def test_the_threads_now_are_all_of_the_process() -> None:
    done, numbers = threading.Event(), list[int]()

    def wait() -> None:
        numbers.append(threading.get_native_id())
        done.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    found = threads_now()
    done.set()
    thread.join()
    assert {numbers[0], threading.get_native_id()} <= found
    set_policy(numbers[0], True)  # it has ended, which is nobody's fault


def test_a_thread_that_hears_no_signals_is_not_cut() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(calm_pieces()))
    thread.start()
    thread.join()
    assert [None] == found
