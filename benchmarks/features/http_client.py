"""Answers a second over HTTP, by the load generator of the serving benchmarks; needs nothing but Python."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

LOAD = Path(__file__).parents[1] / "serving" / "load.py"


def rate(
    python: str,
    port: int,
    path: str,
    bodies: Sequence[object],
    clients: int,
    seconds: float = 4.0,
) -> float:
    """Good answers a second, with so many clients that each wait for theirs.

    Args:
        python: An interpreter that has what the load generator needs.
        port: On loopback.
        path: Of the requests.
        bodies: Of the requests, sent as JSON in turns.
        clients: At a time, each on a connection that stays open.
        seconds: How long.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write("\n".join(map(json.dumps, bodies)))
        file.flush()
        command = [python, LOAD, str(port), path, str(clients), str(seconds), file.name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: float = json.loads(done.stdout)["per_second"]
    return found
