"""The watcher's place behind the workers: it runs where nobody else wants to, unless that is next to never.

A worker that wakes for a request waits until whoever runs on its core has had its slice, which is
milliseconds. Threads of the idle policy are preempted at once instead, but get next to nothing of a core that is always
wanted. So they have that policy only until the work is ten seconds short of a twentieth of the time in which it could run. The work itself
looks whether it is, between two of its pieces: a thread that did so beside it would take the core from a worker each time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trimtab.serve.pieces import Pieces, in_pieces

LEAST_RATIO = 0.05
"""Of the time in which the work runs or waits for a core; the usual policy gives twice as much on a core that is always wanted."""

MOST_DEBT_SECONDS = 0.5
"""What the work may be short of that: ten seconds of waiting. Then it has the usual policy until it has got all of it."""

LOOK_SECONDS = 0.1
"""Of the time in which the work could run: how often it is looked."""

Schedule = Callable[[int, bool], None]
"""Gives a thread, by its number, the idle policy or the usual one."""


class Calm:
    """Chooses the policy of a process's threads by what its work gets of the cores.

    Args:
        schedule: Sets the policy of a thread.
        threads: The numbers of the threads now.
    """

    def __init__(self, schedule: Schedule, threads: Callable[[], set[int]]) -> None:
        self._schedule = schedule
        self._threads = threads
        self._before: tuple[float, float] | None = None
        self._debt = 0.0
        self._calm = True
        self._known: dict[int, bool] = {}

    def look(self, ran: float, waited: float) -> None:
        """Give each thread the policy that is right now, if it is time to look.

        Args:
            ran: Seconds for which the work has run so far.
            waited: Seconds for which it could have run besides.
        """
        before = self._before or (ran, waited)
        if self._before is not None and ran + waited - sum(before) < LOOK_SECONDS:
            return
        self._before = ran, waited
        calm, threads = self._gets_enough(ran - before[0], waited - before[1]), self._threads()
        for thread in threads:
            if self._known.get(thread) != calm:
                self._schedule(thread, calm)
        self._known = dict.fromkeys(threads, calm)

    def _gets_enough(self, ran: float, waited: float) -> bool:
        debt = max(self._debt + LEAST_RATIO * (ran + waited) - ran, 0.0)
        if not self._calm:  # the usual policy may not give that either
            debt = min(debt, max(self._debt, MOST_DEBT_SECONDS))
        self._debt = debt
        self._calm = debt < MOST_DEBT_SECONDS if self._calm else not debt
        return self._calm


def calm_pieces() -> Pieces | None:
    """Cuts this thread's work, and keeps the process calm where the system knows the idle policy and lets go of it again."""
    told = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    if not may_return():
        return in_pieces(told)
    return in_pieces(told, Calm(set_policy, threads_now).look)


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


def be_as_usual() -> None:
    """Give this thread the usual policy, where one that is calm has started its process and nobody would look whether it starves."""
    if hasattr(os, "SCHED_IDLE") and os.sched_getscheduler(0) == os.SCHED_IDLE:
        with suppress(PermissionError):
            set_policy(0, False)


def threads_now() -> set[int]:
    """This process's threads."""
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}
