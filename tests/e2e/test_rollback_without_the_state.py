"""A rollback while the state database is locked: this host switches, nobody is failed, it is written later."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.e2e.clients import Load, eventually, overview
from tests.e2e.conftest import Start, frame
from tests.e2e.recorded import opened
from tests.e2e.test_canary import candidate, planned

from trimtab.cli.main import cli
from trimtab.rollout import audit

HOLD = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
held.execute("ROLLBACK")
"""


@contextmanager
def locked(config: Path) -> Iterator[None]:
    """The state database, held by another process."""
    database = str(config.parent / "state" / "state.db")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, database],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert "held\n" == holder.stdout.readline()
        yield
        holder.communicate("")


def roll_back(config: Path) -> Any:
    done = CliRunner().invoke(
        cli, ["rollback", "risk", "--reason", "it hurts", "--config", str(config), "--json"]
    )
    assert 0 == done.exit_code, done.output
    return json.loads(done.output)


@pytest.mark.parametrize("promoted", [False, True])
def test_a_locked_database_stops_no_rollback_and_learns_of_it_later(
    serve: Start, tmp_path: Path, *, promoted: bool
) -> None:
    config = planned(tmp_path, workers=2)
    server = serve(config)
    candidate(config, frame(seed=3))
    if promoted:
        with opened(config) as deployment:
            deployment.promote("risk", actor="test", reason="looks well")
    new = {2} if promoted else {1, 2}
    pending = tmp_path / "state" / "overrides" / "risk-0001.override"
    with Load(server.url) as running:
        eventually(lambda: {a["version"] for a in running.acknowledged[-40:]}, lambda v: v == new)
        with locked(config):
            began = time.monotonic()
            first = roll_back(config)
            assert time.monotonic() - began < 15.0
            assert (True, "risk-0001", [2], 1) == (
                first["local"],
                *(first["override"]["undo"][name] for name in ("rollout", "off", "to")),
            )
            running.more(100)
            assert {1} == {answer["version"] for answer in running.acknowledged[-50:]}
            assert first == roll_back(config)
            assert pending.exists()
        eventually(pending.exists, lambda there: not there)
        assert "rolled_back" == overview(server)["rollouts"][-1]["state"]
        running.more(100)
        assert {1} == {answer["version"] for answer in running.acknowledged[-50:]}
    assert {200} == set(running.statuses)
    with opened(config) as deployment, deployment.state.reading() as state:
        entries = state.audit.entries()
    assert audit.verify(entries) is None
    last = entries[-1]
    assert ("roll_back", "it hurts", first["override"]["at"]) == (
        last.action,
        last.reason,
        last.detail["local_at"],
    )
    assert 1 == [entry.action for entry in entries].count("roll_back")
