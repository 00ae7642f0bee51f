"""The watcher's place behind the workers: it runs where nobody else wants to, unless that is next to never.

A worker that wakes for a request waits until whoever runs on its core has had its slice, which is
milliseconds. Threads of the idle policy are preempted at once instead, but get next to nothing of a core that is always
wanted. So they have that policy only until the work is ten seconds short of a twentieth of the time in which it could run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from trimtab.wiring.giving_way import spent_by

LEAST_RATIO = 0.05
"""Of the time in which the work runs or waits for a core; the usual policy gives twice as much on a core that is always wanted."""

MOST_DEBT_SECONDS = 0.5
"""What the work may be short of that: ten seconds of waiting. Then it has the usual policy until it has got all of it."""

LOOK_SECONDS = 0.1

Schedule = Callable[[int, bool], None]
"""Gives a thread, by its number, the idle policy or the usual one."""

Spent = Callable[[], tuple[float, float]]
"""For how many seconds a thread has run so far, and for how many it waited for a core."""


class Calm:
    """Chooses the policy of a process's threads by what its work gets of the cores.

    Args:
        schedule: Sets the policy of a thread.
        threads: The numbers of the threads now.
        spent: Of the thread that does the work.
    """

    def __init__(
        self,
        schedule: Schedule,
        threads: Callable[[], set[int]],
        spent: Spent,
    ) -> None:
        self._schedule = schedule
        self._threads = threads
        self._spent = spent
        self._before = spent()
        self._debt = 0.0
        self._calm = True
        self._known: dict[int, bool] = {}

    def look(self) -> None:
        """Give each thread the policy that is right now."""
        calm, threads = self._gets_enough(), self._threads()
        for thread in threads:
            if self._known.get(thread) != calm:
                self._schedule(thread, calm)
        self._known = dict.fromkeys(threads, calm)

    def run(self, stop: threading.Event) -> None:
        """Look again and again, in a thread that keeps its own policy, until told to stop."""
        while not stop.wait(LOOK_SECONDS):
            self.look()

    def _gets_enough(self) -> bool:
        spent = self._spent()
        ran, waited = (now - before for now, before in zip(spent, self._before, strict=True))
        debt = self._debt + LEAST_RATIO * (ran + waited) - ran
        self._before = spent
        self._debt = min(max(debt, 0.0), MOST_DEBT_SECONDS)
        self._calm = self._debt < MOST_DEBT_SECONDS if self._calm else not self._debt
        return self._calm


def keep_calm(stop: threading.Event) -> None:
    """Keep this process calm, whose work this thread does, where the system knows the policy and lets go of it again."""
    told = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    if told.exists() and may_return():
        calm = Calm(set_policy, other_threads, lambda: spent_by(told))
        threading.Thread(target=calm.run, args=(stop,), name="calm", daemon=True).start()


def may_return() -> bool:
    """Whether a thread that takes the idle policy can leave it: that needs a right, such as root's."""
    if not hasattr(os, "SCHED_IDLE"):
        return False
    found: list[bool] = []

    def attempt() -> None:
        try:
            set_policy(0, True)
            set_policy(0, False)
        except PermissionError:
            return
        found.append(True)

    trial = threading.Thread(target=attempt)
    trial.start()
    trial.join()
    return bool(found)


def set_policy(thread: int, idle: bool) -> None:
    """Set a thread's policy; its nice value stays. A thread that has ended is let be."""
    try:
        os.sched_setscheduler(thread, os.SCHED_IDLE if idle else os.SCHED_OTHER, os.sched_param(0))
    except ProcessLookupError:
        return


def other_threads() -> set[int]:
    """This process's threads but the one that asks."""
    return {int(task.name) for task in Path("/proc/self/task").iterdir()} - {
        threading.get_native_id()
    }
