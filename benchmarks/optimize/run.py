"""`make bench-optimize`: the parts of this folder by name; all of them without one."""

from __future__ import annotations

import sys

import converting
import curves
import loading
import pipelines
import serving
import trees

PARTS = {
    "trees": trees.main,
    "converting": converting.main,
    "curves": curves.main,
    "loading": loading.main,
    "pipelines": pipelines.main,
    "serving": serving.main,
}


def main(arguments: list[str]) -> None:
    """``run.py [PART] [its options]``."""
    if arguments and arguments[0] in PARTS:
        PARTS[arguments[0]](arguments[1:])
        return
    for part in PARTS.values():
        part([])


if __name__ == "__main__":
    main(sys.argv[1:])
