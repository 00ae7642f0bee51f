"""A watcher that is killed and started again concludes, byte for byte, what one in one go does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tests.e2e.clients import eventually
from tests.e2e.conftest import fitted, frame, registered
from tests.e2e.recorded import opened, record

from trimtab.telemetry import Metrics
from trimtab.types import Alert, Rollout, RolloutState, Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register
from trimtab.wiring.watching import Watching

ROWS = 3_000
KILLS = 10
SUBJECTS = (
    "data_drift",
    "data_quality",
    "prediction_drift",
    "performance",
    "estimated_performance",
    "concept_drift",
)

SLOWLY = """
batch_rows = 20

[models.risk.rollout]
outcome_delay_seconds = 600
steps = [{ share = 0.3, bake_seconds = 600 }]
guardrails = [{ name = "wrong decisions", event = "wrong_decision", margin = 0.5, min_events = 60 }]
"""


def recorded(folder: Path) -> Path:
    """A journal and its outcomes, not watched yet: two versions, the second one harmful."""
    config = registered(folder)
    config.write_text(config.read_text().replace("poll_ms = 20", "poll_ms = 1") + SLOWLY)
    data = frame(seed=3)
    training = Training(
        reference=data,
        holdout=frame(500, seed=4),
        outcome="outcome",
        time="time",
        task=Task.BINARY,
        labels=("good", "bad"),
    )
    flipped = fitted(data.assign(outcome=1 - data["outcome"]))
    with opened(config) as deployment:
        version = register(deployment, "risk", flipped, training, author="test", trust=True)
        deployment.deploy_or_roll_out("risk", version.version, actor="test", reason="second")
        made = record(deployment, frame(ROWS, seed=5))
    assert {1, 2} == {prediction.version for prediction in made}
    return config


def copied(config: Path, folder: Path) -> Path:
    """The whole state once more."""
    shutil.copytree(config.parent, folder)
    copy = folder / config.name
    copy.write_text(copy.read_text().replace(config.parent.as_posix(), folder.as_posix()))
    return copy


def watch_to_the_end(deployment: Deployment) -> int:
    """Tick until there is nothing left; how many ticks did something."""
    watching, ticks = Watching.open(deployment, Metrics()), 0
    while (tick := watching.tick()).records or tick.matured:
        ticks += 1
    return ticks


def bytes_read(deployment: Deployment) -> int:
    with deployment.state.reading() as state:
        return sum(state.watch.offsets().values())


def watch_until(config: Path, deployment: Deployment, read: int) -> None:
    """Run `trimtab watch`, and kill it once it has read so far."""
    with (config.parent / "watch.log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trimtab.cli", "watch", "--config", str(config)], stderr=log
        )
    try:
        eventually(lambda: bytes_read(deployment), lambda seen: seen >= read)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def timeless(alert: Alert) -> Alert:
    """An alert whose line of the audit log has no wall time, and so no hash."""
    if alert.change is None:
        return alert
    line = msgspec.structs.replace(alert.change, at=0.0, previous="", hash="")
    return msgspec.structs.replace(alert, change=line)


def conclusions(deployment: Deployment) -> dict[str, Any]:
    """All that the watcher derived; what bears wall time is left out."""
    with deployment.state.reading() as state:
        rollouts: list[Rollout] = [
            msgspec.structs.replace(rollout, ended_at=None)
            for rollout in state.control.rollouts("risk")
        ]
        return {
            "verdicts": msgspec.msgpack.encode(state.watch.verdicts("risk", limit=100_000)),
            "counts": dict(state.outcomes.counts("risk")),
            "rollouts": rollouts,
            "route": state.control.route("risk"),
            "alerts": [(timeless(alert), n) for alert, n, _ in state.alerts.alerts("risk")],
            "moves": [(e.action, e.reason, e.detail) for e in state.audit.entries("risk")],
            "offsets": dict(state.watch.offsets()),
            "saved": [
                state.watch.blob(f"risk/{version}/{subject}")
                for version in (1, 2)
                for subject in SUBJECTS
            ],
        }


def test_killed_many_times_equals_one_go(tmp_path: Path) -> None:
    config = recorded(tmp_path / "one-go")
    copy = copied(config, tmp_path / "killed")
    with opened(config) as deployment:
        ticks = watch_to_the_end(deployment)
        expected = conclusions(deployment)
    total = sum(expected["offsets"].values())
    moments = np.random.default_rng(20_130_615)
    points = sorted((moments.uniform(0.02, 0.95, KILLS) * total).tolist())
    with opened(copy) as deployment:
        for point in points:
            watch_until(copy, deployment, int(point))
        assert bytes_read(deployment) < total
        watch_to_the_end(deployment)
        actual = conclusions(deployment)
    assert ticks >= ROWS // 20
    assert (ROWS, ROWS) == tuple(map(sum, zip(*expected["counts"].values(), strict=True)))
    (rollout,) = expected["rollouts"]
    assert RolloutState.ROLLED_BACK == rollout.state
    verdicts = msgspec.msgpack.decode(expected["verdicts"])
    assert {*SUBJECTS, "guardrail"} == {verdict["subject"] for verdict in verdicts}
    for name, value in expected.items():
        assert value == actual[name], name
