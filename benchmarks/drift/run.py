"""Runs one part of the drift benchmarks: `make bench-drift ARGS="PART [NAME=VALUE ...]"`.

A part is a file beside this one with a function ``run(options)`` that prints its table, or ``main`` that
takes the words themselves. Without a part's name it is ``speed``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
MARKS = ("\ndef run(", "\ndef main(")


def main(words: list[str]) -> None:
    """Dispatch."""
    parts = [
        path.stem
        for path in sorted(HERE.glob("*.py"))
        if path.stem != "run" and any(mark in path.read_text(encoding="utf-8") for mark in MARKS)
    ]
    name, *rest = words if words and "=" not in words[0] else ["speed", *words]
    if name not in parts:
        sys.exit(f"There is no part {name!r}. The parts are: {', '.join(parts)}.")
    sys.path.insert(0, str(HERE))
    part = import_module(name)
    if hasattr(part, "main"):
        part.main(rest)
    else:
        part.run(dict(word.split("=", 1) for word in rest))


if __name__ == "__main__":
    main(sys.argv[1:])
