"""So many workers that map one file and answer: the proportional size of the model in all of them.

``workers.py MODEL ROWS WORKERS`` prints three numbers in megabytes, summed over the workers: the file's PSS,
what each worker's own memory grew by with the model, and what it had grown by before, when a forest of
one leaf first answered the same rows: the fixed cost of a process that answers at all.
"""

from __future__ import annotations

import multiprocessing
import re
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from trimtab.compact import Forest, pack
from trimtab.optimize.convert import ensemble_of


def own_mb(path: Path) -> tuple[float, float]:
    """PSS of the mapped file, and private memory, of this process."""
    mapped, private, ours = 0, 0, False
    for line in Path("/proc/self/smaps").read_text("utf-8").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = line.endswith(str(path))
        elif line.startswith("Pss:") and ours:
            mapped += int(line.split()[1])
        elif line.startswith("Private_Dirty:") and not ours:
            private += int(line.split()[1])
    return mapped / 1024, private / 1024


def work(path: Path, X: np.ndarray, pipe: Connection) -> None:
    smallest = DecisionTreeClassifier(max_depth=1).fit(X[:50], X[:50, 0] > 0)
    packed = pack(ensemble_of(smallest))
    own_mb(path)
    idle = own_mb(path)[1]
    tiny = Forest(packed)
    tiny.predict(X[:1000])
    before = own_mb(path)[1]
    forest = Forest.open(path)
    forest.predict(X[:1000])
    pipe.send("ready")
    pipe.recv()
    mapped, private = own_mb(path)
    pipe.send((mapped, private - before, before - idle))
    pipe.recv()


def main(path: Path, rows: Path, workers: int) -> None:
    X = np.load(rows)
    context = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(workers):
        pipe, other = context.Pipe()
        context.Process(target=work, args=(path, X, other), daemon=True).start()
        pipes.append(pipe)
    for pipe in pipes:
        pipe.recv()
    sizes = []
    for pipe in pipes:
        pipe.send("measure")
        sizes.append(pipe.recv())
    for pipe in pipes:
        pipe.send("end")
    print(*(f"{sum(part):.3f}" for part in zip(*sizes, strict=True)))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]), int(sys.argv[3]))
