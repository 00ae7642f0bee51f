"""A rollout from first deployment to its end, which a kill may interrupt anywhere and a new process ends.

Run as a program it tells the story once for every fault point of every transition: a fork is killed there
with SIGKILL, another one goes on from what is on disk. It prints what each of them left, as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from tests.registered import version

from trimtab.config import Config, StateConfig
from trimtab.errors import TrimtabError
from trimtab.rollout import audit
from trimtab.rollout.guardrails import GuardrailComparer, GuardrailWindows
from trimtab.rollout.judge import RolloutActor, RolloutJudge
from trimtab.rollout.split import slot
from trimtab.testing import FakeClock
from trimtab.types import (
    GuardrailAction,
    GuardrailSpec,
    PredictionRecord,
    PromotionPolicy,
    RampStep,
    RolloutPlan,
    RolloutState,
    Route,
    UnitEvent,
)
from trimtab.watch import Subject, WatchFlow
from trimtab.wiring.deployment import Deployment

STORIES = ("promote", "roll_back", "hold")
WHO: dict[str, Any] = {"actor": "ada", "reason": "because"}
TICKS = 8
USERS = 100
SETTING_UP = frozenset({"add_version", "next_version"})
READING = frozenset(
    [
        "entries",
        "epoch",
        "rollout",
        "rollouts",
        "route",
        "routes",
        "alerts",
        "blob",
        "offsets",
        "verdicts",
        "version",
        "versions",
        "aliases",
        "exposures",
        "last",
        "models",
        "setting",
        "due",
        "views",
        "take_turn",
    ]
)


def plan(story: str) -> RolloutPlan:
    """Two steps, the second of which somebody must approve."""
    action = GuardrailAction.HOLD if story == "hold" else GuardrailAction.ROLL_BACK
    return RolloutPlan(
        steps=(
            RampStep(share=0.2, bake_seconds=100.0),
            RampStep(share=0.5, bake_seconds=100.0, approval="operator"),
        ),
        guardrails=(GuardrailSpec(name="errors", event=UnitEvent.ERROR, action=action),),
        promote=PromotionPolicy.NO_HARM,
    )


class Faults:
    """Counts fault points, and dies at one of them."""

    def __init__(self, at: int | None) -> None:
        self.at = at
        self.passed: list[str] = []

    def point(self, name: str) -> None:
        """A place where the process may die."""
        self.passed.append(name)
        if self.at == len(self.passed) - 1:
            os.kill(os.getpid(), signal.SIGKILL)


class FaultyPart:
    """A part of a transaction; before each of its writes is a fault point."""

    def __init__(self, part: Any, faults: Faults) -> None:
        self._part, self._faults = part, faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not callable(found):
            return FaultyPart(found, self._faults)

        def call(*arguments: Any, **named: Any) -> Any:
            if name not in READING | SETTING_UP:
                self._faults.point(name)
            return found(*arguments, **named)

        return call


class FaultyState:
    """A state with fault points before every write, before the commit and after it."""

    def __init__(self, state: Any, faults: Faults) -> None:
        self._state, self._faults = state, faults

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self._state.transaction() as tx:
            yield FaultyPart(tx, self._faults)
            self._faults.point("commit")
        self._faults.point("committed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)


class FaultyCell:
    """An epoch with a fault point before it is published."""

    def __init__(self, cell: Any, faults: Faults) -> None:
        self._cell, self._faults = cell, faults

    def publish(self, epoch: int) -> None:
        self._faults.point("publish")
        self._cell.publish(epoch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cell, name)


class Traffic:
    """A journal whose next chunk follows from the route of now; read again, it is the same."""

    def __init__(self, deployment: Deployment, *, failing: bool) -> None:
        self._deployment, self._failing = deployment, failing
        self.route: Route | None = None

    def look(self) -> None:
        with self._deployment.state.reading() as state:
            self.route = state.control.route("m")

    def read(
        self, offsets: Mapping[str, int], limit: int
    ) -> tuple[Sequence[PredictionRecord], Mapping[str, int]]:
        del limit
        chunk = offsets.get("j", 0)
        if chunk >= TICKS or self.route is None:
            return [], offsets
        return [self._record(chunk, i, self.route) for i in range(USERS)], {"j": chunk + 1}

    def _record(self, chunk: int, i: int, route: Route) -> PredictionRecord:
        name = f"{chunk}-{i}"
        arm = route.slots[slot(route.salt, name)]
        at = 60.0 * chunk + 60.0 * i / USERS
        return PredictionRecord(
            prediction_id=name,
            request_id=None,
            event_time=at,
            wall_time=at,
            model="m",
            version=route.arms[arm].version,
            digest="sha256:1",
            epoch=route.epoch,
            rollout=route.rollout,
            arm=arm,
            share=1.0 - route.arms[0].share,
            unit=name,
            sticky=True,
            values=(),
            sources="",
            ages_seconds=(),
            score=1.0,
            outputs=(1.0,),
            positive=None,
            latency_ms=1.0,
            failed="model_failure" if self._failing and arm else None,
        )


def opened(folder: Path, faults: Faults) -> Deployment:
    from dataclasses import replace

    config = Config(state=StateConfig(dir=str(folder)))
    made = Deployment.open(config, FakeClock(1_000.0))
    state = cast("Any", FaultyState(made.state, faults))
    return replace(made, state=state, epoch=cast("Any", FaultyCell(made.epoch, faults)))


def tell(folder: Path, story: str, faults: Faults) -> None:
    """Go on with the story from what is on disk, to its end."""
    deployment = opened(folder, faults)
    people(deployment, story)
    traffic = Traffic(deployment, failing=story != "promote")
    flow = WatchFlow(
        state=deployment.state,
        journal=traffic,
        subjects=partial(subjects, deployment, {}),
        notify=lambda _state, _alerts: None,
        batch_rows=10_000,
    )
    for _ in range(TICKS):
        traffic.look()
        flow.tick()
        approve(deployment)
        with deployment.state.reading() as state:
            deployment.epoch.publish(state.control.epoch())
    deployment.close()


def people(deployment: Deployment, story: str) -> None:
    """What people do before the traffic, unless they have done it."""
    with deployment.state.reading() as state:
        known, route = state.registry.versions("m"), state.control.route("m")
        begun = state.control.rollouts("m")
    if not known:
        with deployment.state.transaction() as state:
            for number in (1, 2):
                state.registry.add_version(version("m", number, "x"))
    if route is None:
        deployment.deploy("m", 1, **WHO)
    if not begun:
        deployment.start_rollout("m", 2, plan(story), **WHO)


def approve(deployment: Deployment) -> None:
    """Approve the second step as soon as the rollout runs, once."""
    with deployment.state.reading() as state:
        (rollout,) = state.control.rollouts("m")
    if rollout.state is RolloutState.RUNNING and not rollout.approved:
        deployment.approve("m", role="operator", **WHO)


def subjects(deployment: Deployment, known: dict[str, Subject], state: Any) -> Sequence[Subject]:
    found = []
    for rollout in state.control.rollouts("m"):
        if rollout.state in (RolloutState.RUNNING, RolloutState.HELD):
            known[rollout.id] = known.get(rollout.id) or Subject(
                key=f"m/rollout/{rollout.id}",
                windower=GuardrailWindows(rollout),
                comparer=GuardrailComparer(rollout.plan),
                judge=RolloutJudge(rollout.plan),
                actor=RolloutActor(deployment.clock),
            )
            found.append(known[rollout.id])
    return found


def left(folder: Path) -> dict[str, Any]:
    """What is on disk: routes, rollout, audit log, messages, and what the workers were told."""
    deployment = Deployment.open(Config(state=StateConfig(dir=str(folder))), FakeClock(1_000.0))
    with deployment.state.reading() as state:
        entries = state.audit.entries()
        route = state.control.route("m")
        made = {
            "actions": [entry.action for entry in entries],
            "broken_at": audit.verify(entries),
            "states": [r.state.value for r in state.control.rollouts("m")],
            "steps": [r.step for r in state.control.rollouts("m")],
            "arms": [] if route is None else [(a.version, a.share) for a in route.arms],
            "epoch": state.control.epoch(),
            "told": sorted(alert.key for alert, _, _ in state.alerts.alerts("m")),
            "repeats": sum(repeats for _, repeats, _ in state.alerts.alerts("m")),
            "aliases": sorted((a.alias, a.version) for a in state.registry.aliases("m")),
            "cell": deployment.epoch.read(),
        }
    deployment.close()
    return made


def forked(run: Callable[[], object]) -> int:
    """Run in a fork; its wait status."""
    child = os.fork()
    if child == 0:
        try:
            run()
        except TrimtabError as error:
            sys.stderr.write(f"{error}\n")
            os._exit(3)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def transitions(passed: Sequence[str]) -> list[int]:
    """The fault points in and right behind the transactions that raise the epoch."""
    chosen: list[int] = []
    pending: list[int] = []
    moves = False
    for at, name in enumerate(passed):
        pending.append(at)
        moves = moves or name == "advance"
        if name == "committed":
            if moves:
                chosen += [*pending, at + 1] if at + 1 < len(passed) else pending
            pending, moves = [], False
    return sorted(set(chosen))


def main(folder: Path) -> None:
    """Tell every story whole, then once for each fault point."""
    for story in STORIES:
        whole, faults = folder / story / "whole", Faults(None)
        tell(whole, story, faults)
        sys.stdout.write(
            json.dumps({"story": story, "at": None, "name": "", "left": left(whole)}) + "\n"
        )
        for at in transitions(faults.passed):
            place = folder / story / str(at)
            killed = forked(partial(tell, place, story, Faults(at)))
            ended = forked(partial(tell, place, story, Faults(None)))
            told = {
                "story": story,
                "at": at,
                "name": faults.passed[at],
                "killed": os.WIFSIGNALED(killed) and os.WTERMSIG(killed) == signal.SIGKILL,
                "ended": ended == 0,
                "left": left(place),
            }
            sys.stdout.write(json.dumps(told) + "\n")
            shutil.rmtree(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
