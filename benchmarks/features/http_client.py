"""Answers a second over HTTP, by the load generator of the serving benchmarks; needs nothing but Python."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

LOAD = Path(__file__).parents[1] / "serving" / "load.py"
SECONDS = 4.0


def rate(python: str, port: int, path: str, body: object, clients: int) -> float:
    """Good answers a second, with so many clients that each wait for theirs.

    Args:
        python: An interpreter that has what the load generator needs.
        port: On loopback.
        path: Of the requests.
        body: Of the requests, sent as JSON.
        clients: At a time.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(body, file)
        file.flush()
        command = [python, LOAD, str(port), path, str(clients), str(SECONDS), file.name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: float = json.loads(done.stdout)["per_second"]
    return found
