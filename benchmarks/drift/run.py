"""Runs one part of the drift benchmarks: `make bench-drift ARGS="PART [NAME=VALUE ...]"`.

A part is a file beside this one with a function ``run(options)`` that prints its table. Without a
part's name it is ``speed``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent


def main(words: list[str]) -> None:
    """Dispatch."""
    parts = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run")
    name, *rest = words if words and "=" not in words[0] else ["speed", *words]
    if name not in parts:
        sys.exit(f"There is no part {name!r}. The parts are: {', '.join(parts)}.")
    options = dict(word.split("=", 1) for word in rest)
    sys.path.insert(0, str(HERE))
    import_module(name).run(options)


if __name__ == "__main__":
    main(sys.argv[1:])
