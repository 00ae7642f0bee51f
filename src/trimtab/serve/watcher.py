"""The watcher process: ticks of flow 2, and the delivery of alerts."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import threading
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from trimtab.errors import Conflict, TrimtabError
from trimtab.log_events import Event
from trimtab.serve.calm import calm_pieces
from trimtab.serve.child import Child, run
from trimtab.serve.memory import resident_bytes
from trimtab.serve.portion import Portion
from trimtab.serve.shadow import ShadowKeeper
from trimtab.telemetry import Metrics
from trimtab.wiring.crashes import crash_desk
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.leadership import Leadership, LedState, holder_of
from trimtab.wiring.upkeep import kept_up
from trimtab.wiring.watching import Watching

logger = logging.getLogger(__name__)

MAX_PAUSE_SECONDS = 10.0
REST_RATIO = 9.0
MAX_REST_SECONDS = 2.0
FOLLOW_SECONDS = 1.0
NICE = 10
"""On a core that workers share with the watcher and fill, a tenth is left to it, which is what it takes elsewhere."""


class WatcherLock:
    """At most one watcher a state directory; the lock goes with the process.

    Raises:
        Conflict: another watcher holds it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            self._file.close()
            raise Conflict(
                "Another watcher is at work on this state directory.",
                code="watcher_running",
                hint="`trimtab serve` starts one by itself; stop it first.",
            ) from held


def watch(
    deployment: Deployment,
    metrics: Metrics,
    stop: threading.Event,
    shadow: ShadowKeeper | None = None,
) -> None:
    """Tick while this watcher leads, until told to stop.

    Machines that merge their windows (``replica``) all tick; then the leader alone judges rollouts, by what
    all have answered, and delivers messages. After a failure everything is built anew from what was saved, and so it is when
    the lead was lost and taken again. After a tick that took long the pause is longer, nine times as long
    and at most 2 s: more is read at once then, and what a tick costs whatever it reads counts for less. A
    backlog is read without, in portions that take a moment. A thread compacts and trims the journal meanwhile.
    """
    with kept_up(deployment, metrics, stop):
        _tick_until(stop, deployment, metrics, shadow)


def _tick_until(
    stop: threading.Event,
    deployment: Deployment,
    metrics: Metrics,
    shadow: ShadowKeeper | None,
) -> None:
    pause = deployment.config.watch.poll_ms / 1e3
    leadership = Leadership(deployment.state, holder_of(deployment.dir), deployment.clock)
    shared = bool(deployment.config.watch.replica)
    led = replace(deployment, state=LedState(deployment.state, leadership))
    portion = Portion(deployment.config.watch.batch_rows)
    watching, failures, told, records = None, 0, False, 0
    pieces = calm_pieces()
    show_memory = metrics.setter("ml_worker_resident_bytes")
    while not stop.is_set():
        show_memory(resident_bytes(os.getpid()))
        began = time.monotonic()
        try:
            with nullcontext() if pieces is None else pieces.cut():
                leads = leadership.lead()
                if leads or shared:
                    watching = watching or (
                        Watching.open(deployment, metrics, leadership.holds)
                        if shared
                        else Watching.open(led, metrics)
                    )
                    records = _work(watching, shadow, portion.rows, deliver=leads)
            if not (leads or shared):
                told = told or _tell_not_counted()
                watching = None
                deployment.settle()
                stop.wait(FOLLOW_SECONDS)
                continue
            failures = 0
        except TrimtabError as error:
            failures += 1
            logger.error(  # noqa: TRY400 - the error says all; a trace adds nothing
                Event.TICK_FAILED, extra={"reason": str(error)}
            )
            stop.wait(min(pause * 2**failures, MAX_PAUSE_SECONDS))
            watching = None
            continue
        took = time.monotonic() - began
        if not portion.took(records, took):
            rest = REST_RATIO * took
            stop.wait(max(pause, min(rest, MAX_REST_SECONDS)))
    try:
        leadership.resign()
    except TrimtabError as error:
        logger.warning(Event.TICK_FAILED, extra={"reason": str(error)})


def _tell_not_counted() -> bool:
    logger.warning(
        Event.TRAFFIC_NOT_COUNTED,
        extra={"reason": "Another machine leads, and [watch] replica is not set on this one."},
    )
    return True


def _work(watching: Watching, shadow: ShadowKeeper | None, rows: int, *, deliver: bool) -> int:
    """One tick of at most ``rows`` records and what is due; how many it read."""
    tick = watching.tick(rows)
    if shadow is not None:
        shadow.keep(wanted=watching.shadowed)
    if deliver:
        asyncio.run(watching.deliverer.deliver_due())
    return tick.read


def serve(child: Child, metrics: Metrics) -> None:
    """Run until the supervisor says stop or is gone."""
    stop = child.told_to_stop()
    os.nice(NICE)  # workers come first
    deployment = Deployment.open(child.config)
    lock = WatcherLock(deployment.run_dir / "watcher.lock")
    shadow = ShadowKeeper(child.run_dir, crash_desk(child.config, child.run_dir))
    try:
        child.say_ready()
        logger.info(Event.WATCHER_STARTED)
        watch(deployment, metrics, stop, shadow)
    finally:
        shadow.stop()
        deployment.close()
        del lock


if __name__ == "__main__":
    run(serve)
