"""Runs the parts that measure features, each in a process of its own: `run.py [PART…]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = ("reads", "embedded", "snapshots", "beside_feast", "faults", "join", "checks")

for part in sys.argv[1:] or PARTS:
    print(f"\n== {part}", flush=True)
    subprocess.run([sys.executable, HERE / f"{part}.py"], check=True)
