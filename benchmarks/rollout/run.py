"""`make bench-rollout`: the parts of this folder by name; all of them without one."""

from __future__ import annotations

import sys

import agree
import guardrails
import propagation
import replicas
import routing
import strategies

PARTS = {
    "agree": agree.main,
    "guardrails": guardrails.main,
    "propagation": propagation.main,
    "replicas": replicas.main,
    "routing": routing.main,
    "strategies": strategies.main,
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
