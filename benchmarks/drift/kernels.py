"""What sketches cost in processor time: streams, merging shards, a whole process to its first verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import pandas as pd

from trimtab.sketch import Accumulator, Coded, Sketcher, fit, merge_many, sketch
from trimtab.types import FeatureKind

BATCH = 1_024
FEATURES = 50
DETECTOR = """
import trimtab
from pyarrow import parquet
reference, current = (parquet.ParquetFile(path).read() for path in ({0!r}, {1!r}))
print(trimtab.DriftDetector(reference).detect_drift(current)[0])
"""


def seconds(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = _processor()
        work()
        taken.append(_processor() - began)
    return median(taken)


def _processor() -> float:
    """Processor seconds of this process and of those it has waited for."""
    spent = os.times()
    return process_time() + spent.children_user + spent.children_system


def stream(rng: np.random.Generator, *, pairs: bool) -> float:
    """Microseconds a row of 50 numbers."""
    columns = [rng.normal(size=100_000) for _ in range(FEATURES)]
    binnings = [fit(FeatureKind.NUMERIC, column) for column in columns]
    ranks = dict(enumerate(map(sketch, binnings, columns))) if pairs else None
    sketcher = Sketcher(binnings, ranks=ranks)
    batches = [[c[at : at + BATCH].copy() for c in columns] for at in range(0, 96 * BATCH, BATCH)]

    def work() -> None:
        stream = Accumulator(sketcher)
        for batch in batches:
            stream.add(batch)
        stream.table()

    return seconds(work, 7) / (len(batches) * BATCH) * 1e6


def merging(rng: np.random.Generator, rows: int) -> tuple[float, float, int]:
    """Merging 1,000 shards of 50 numbers and 10 categories: ms, ms to read their bytes once, bytes."""
    labels = tuple(f"category {number}" for number in range(20))
    numbers = [rng.normal(size=20_000) for _ in range(FEATURES)]
    texts = [Coded(labels=labels, codes=rng.integers(0, 20, 20_000)) for _ in range(10)]
    binnings = [fit(FeatureKind.NUMERIC, column) for column in numbers]
    binnings += [fit(FeatureKind.CATEGORICAL, column) for column in texts]
    sketcher = Sketcher(binnings)
    shards = []
    for _ in range(1_000):
        at = slice(start := int(rng.integers(0, 20_000 - rows)), start + rows)
        shards.append(sketcher.sketch([column[at] for column in (*numbers, *texts)]))
    cells = [shard.cells for shard in shards]
    floor = seconds(lambda: [(c.places.max(), c.counts.max()) for c in cells], 5)
    moved = sum(c.places.nbytes + c.counts.nbytes for c in cells)
    return seconds(lambda: merge_many(shards), 5) * 1e3, floor * 1e3, moved


def first_verdicts(rng: np.random.Generator) -> Iterator[tuple[str, float, float]]:
    """Seconds, and processor seconds, of a process that reads 100,000 × 30 twice, builds a profile and gives a verdict."""
    with TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{name}.parquet") for name in ("reference", "current")]
        for path in paths:
            table = {f"x{at}": rng.normal(size=100_000) for at in range(25)}
            table |= {f"s{at}": rng.choice(["a", "b", "c"], 100_000) for at in range(5)}
            pd.DataFrame(table).to_parquet(path)
        commands = {
            "`trimtab.DriftDetector` on Arrow tables": ["-c", DETECTOR.format(*paths)],
            "`trimtab drift` on the files": ["-m", "trimtab.cli", "drift", *paths],
        }
        for what, words in commands.items():
            command = [sys.executable, *words]
            work = partial(subprocess.run, command, check=True, capture_output=True)
            began, rounds = perf_counter(), 5
            used = seconds(work, rounds)
            yield what, (perf_counter() - began) / rounds, used


def run(options: Mapping[str, str]) -> None:
    """Print the table."""
    rng = np.random.default_rng(int(options.get("seed", 1)))
    print("| what | measured | target |\n|---|---|---|")
    for what, pairs in (("", False), (", with the sums for 1,225 correlations", True)):
        taken = stream(rng, pairs=pairs)
        print(f"| a row of 50 numbers, micro-batches of 1,024{what} | {taken:.2f} µs | 0.5 µs |")
    for rows in (100, 1_000):
        taken, floor, moved = merging(rng, rows)
        print(
            f"| merging 1,000 shards × 60 features of {rows:,} rows each ({moved / 1e6:.0f} MB, "
            f"read once in {floor:.0f} ms) | {taken:.0f} ms | 50 ms |"
        )
    for what, taken, used in first_verdicts(rng):
        words = f"whole process, {what}, 100,000 × 30 against as many"
        print(f"| {words} | {taken:.2f} s, {used:.2f} s of processor time | 1 s |")
