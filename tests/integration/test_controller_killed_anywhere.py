"""kill -9 of the controller at every write of every transition: another one goes on, nothing is done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.controller_story import STORIES

EXPECTED = {
    "promote": ["deploy", "start", "approve", "ramp", "promote"],
    "roll_back": ["deploy", "start", "roll_back"],
    "hold": ["deploy", "start", "pause"],
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every story, whole and killed at each of its fault points."""
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.controller_story", str(folder)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("story", STORIES)
def test_a_killed_controller_is_followed_by_one_that_does_nothing_twice(
    told: list[dict[str, Any]], story: str
) -> None:
    whole, *killed = [each for each in told if each["story"] == story]
    assert EXPECTED[story] == whole["left"]["actions"]
    assert whole["left"]["broken_at"] is None
    points = {each["name"] for each in killed}
    assert {
        "advance",
        "put_route",
        "put_rollout",
        "add",
        "commit",
        "committed",
        "publish",
    } <= points
    assert len(killed) > 20
    for each in killed:
        assert (True, True) == (each["killed"], each["ended"]), each
        assert whole["left"] == each["left"], each
