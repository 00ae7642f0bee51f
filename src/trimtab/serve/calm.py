"""The watcher's place behind the workers: it runs where nobody else wants to, unless it falls behind.

A worker that wakes for a request waits until whoever runs on its core has had its slice, which is
milliseconds. Threads of the idle policy are preempted at once instead, but get next to nothing of a core that is always
wanted. So they have that policy only as long as each piece of their work is done within a second.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LATE_SECONDS = 1.0
"""A piece of work that takes longer waits for processor time: a tick takes a tenth of that."""

HURRIED_SECONDS = 5.0
"""How long the usual policy then lasts at least."""

LOOK_SECONDS = 0.1

Schedule = Callable[[int, bool], None]
"""Gives a thread, by its number, the idle policy or the usual one."""


class Calm:
    """Chooses the policy of a process's threads by whether its work keeps pace.

    Args:
        schedule: Sets the policy of a thread.
        threads: The numbers of the threads now.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        schedule: Schedule,
        threads: Callable[[], set[int]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._schedule = schedule
        self._threads = threads
        self._monotonic = monotonic
        self._began: float | None = None
        self._hurried_until = 0.0
        self._known: dict[int, bool] = {}

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around a piece of work that somebody waits for."""
        self._began = self._monotonic()
        try:
            yield
        finally:
            self._began = None

    def look(self) -> None:
        """Give each thread the policy that is right now."""
        now, began = self._monotonic(), self._began
        if began is not None and now - began > LATE_SECONDS:
            self._hurried_until = now + HURRIED_SECONDS
        calm, threads = now >= self._hurried_until, self._threads()
        for thread in threads:
            if self._known.get(thread) != calm:
                self._schedule(thread, calm)
        self._known = dict.fromkeys(threads, calm)

    def run(self, stop: threading.Event) -> None:
        """Look again and again, in a thread that keeps its own policy, until told to stop."""
        while not stop.wait(LOOK_SECONDS):
            self.look()


@contextmanager
def calm_process(stop: threading.Event) -> Iterator[Calm]:
    """Keep this process calm, where the system knows the policy and lets go of it again."""
    calm = Calm(set_policy, other_threads)
    keeper = threading.Thread(target=calm.run, args=(stop,), name="calm", daemon=True)
    if may_return():
        keeper.start()
    yield calm


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
