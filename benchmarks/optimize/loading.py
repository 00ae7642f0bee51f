"""What opening a compact forest takes, part by part and in turns: digests, and checking its references.

``loading.py [FILE …]``: compact files, such as `trees.py NAME --keep DIR` leaves in DIR; without one a
forest is trained. The registry compares BLAKE3 and then opens what is verified; SHA-256 and a second
digest inside the file are what that saves.
"""

from __future__ import annotations

import mmap
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from trees import data

from trimtab.compact import Forest, pack
from trimtab.digests import BLAKE3, SHA256, digest_of

ROUNDS = 15


def made(folder: Path) -> Path:
    """A forest of 200 deep trees."""
    from sklearn.ensemble import ExtraTreesClassifier

    from trimtab.optimize.convert import ensemble_of

    path = folder / "forest.trimtree"
    model = ExtraTreesClassifier(200, n_jobs=2, random_state=0).fit(*data(30_000, 1))
    path.write_bytes(pack(ensemble_of(model)))
    return path


def mapped(path: Path) -> memoryview:
    """The file's bytes."""
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def opened(path: Path) -> Forest:
    """As the registry does."""
    digest_of(path, BLAKE3)
    return Forest(mapped(path), verified=True)


def measure(path: Path) -> None:
    """One line a part: the median, and the fastest of all rounds."""
    parts: dict[str, Callable[[], object]] = {
        "digest, SHA-256": lambda: digest_of(path, SHA256),
        "digest, BLAKE3": lambda: digest_of(path, BLAKE3),
        "opened, verified": lambda: Forest(mapped(path), verified=True),
        "opened by itself": lambda: Forest.open(path),
        "as the registry does": lambda: opened(path),
    }
    spent: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(ROUNDS):
        for name, part in parts.items():
            began = time.perf_counter()
            part()
            spent[name].append((time.perf_counter() - began) * 1e3)
    print(f"\n{path.name}: {path.stat().st_size / 1e6:.1f} MB, {ROUNDS} rounds in turns")
    for name, times in spent.items():
        print(f"  {name:22} median {statistics.median(times):7.1f} ms   least {min(times):7.1f} ms")


def main(arguments: list[str]) -> None:
    """Measure the files that are named."""
    with tempfile.TemporaryDirectory() as folder:
        for path in [Path(name) for name in arguments] or [made(Path(folder))]:
            measure(path)


if __name__ == "__main__":
    main(sys.argv[1:])
