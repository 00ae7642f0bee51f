"""`make bench-serving ARGS="kills [kills=200]"`: `kill -9` of real workers and the watcher under load, and what was lost.

Processes are forked anew from one that has imported everything, so that 200 kills take a minute or two; the segments are
rotated every few records and compacted meanwhile. It is ``tests/e2e/test_kill_under_load_loses_nothing.py``, for longer.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str]) -> None:
    sys.path.insert(0, str(ROOT))
    from tests.e2e.killed_workers import run

    given = dict(word.split("=", 1) for word in arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), int(given.get("kills", "200")))
    kills = ", ".join(f"{times} of a {kind}" for kind, times in found["kills"].items())
    print(f"{kills} in {found['seconds']} s: of {found['acknowledged']:,} acknowledged predictions"
          f" {len(found['lost'])} are not in the journal and {len(found['twice'])} are there twice;"
          f" {len(found['refused'])} kinds of refusal; {found['parts']} parts of Parquet and"
          f" {found['segments']} segments.")  # fmt: skip
    if found["lost"] or found["twice"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
