"""Pipelines as scikit-learn runs them and as they are compiled: the demo's, and 20 mixed columns with a forest.

Both forms answer the same rows turn by turn in this process, on one thread; medians of the turns are
printed. What is taken is processor time, which other processes on the machine disturb least.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trimtab.cli.demo import flights
from trimtab.cli.demo.train import fit
from trimtab.compact.artifact import Draft, read, write
from trimtab.models.formats.sklearn_frame import SklearnPredictor
from trimtab.models.guard import Guarded
from trimtab.optimize.compact import compact
from trimtab.schema import columns_from_frame, infer_signature
from trimtab.types import Columns, Task

ROWS, TURNS, SINGLE = 5_000, 9, 30


def demo() -> tuple[Any, pd.DataFrame]:
    frame = flights.load()
    frame = frame[frame["late"].notna()].sample(30_000, random_state=0)
    return fit(frame), frame[flights.FEATURES]


def mixed(last: Any) -> Callable[[], tuple[Any, pd.DataFrame]]:
    def make() -> tuple[Any, pd.DataFrame]:
        random = np.random.default_rng(0)
        numbers = {f"x{i}": random.normal(size=ROWS) for i in range(10)}
        words = np.array([*(f"w{i}" for i in range(6)), None])
        texts = {f"c{i}": random.choice(words, ROWS) for i in range(10)}
        frame = pd.DataFrame({**numbers, **texts})
        frame.loc[::7, "x3"] = np.nan
        most = SimpleImputer(strategy="most_frequent")
        columns = ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), list(numbers)),
                ("texts", make_pipeline(most, OneHotEncoder(handle_unknown="ignore")), list(texts)),
            ]
        )
        late = (frame.x0 + random.normal(size=ROWS) > 0).astype(int)
        return Pipeline([("columns", columns), ("last", last)]).fit(frame, late), frame

    return make


MODELS: dict[str, Callable[[], tuple[Any, pd.DataFrame]]] = {
    "the demo's, ordinal encoder and 60 × histogram boosting": demo,
    "20 columns, logistic regression": mixed(LogisticRegression()),
    "20 columns, forest of 100": mixed(RandomForestClassifier(100, max_depth=12, random_state=0)),
}


def measured(make: Callable[[], tuple[Any, pd.DataFrame]], folder: Path) -> str:
    model, frame = make()
    signature = infer_signature(frame, task=Task.BINARY, labels=("0", "1"))
    rows = columns_from_frame(signature, frame)
    original = Guarded(SklearnPredictor(model, signature), signature, "original")
    found = compact(model, signature, original, rows)
    assert isinstance(found.artifact, Draft), found.reason
    path = folder / "model"
    write(found.artifact, path)
    small = Guarded(read(path), signature, "compiled")
    one, many = some(rows, 1), some(rows, ROWS)
    single = turns(lambda: original.predict(one), lambda: small.predict(one), SINGLE)
    batch = turns(lambda: original.predict(many), lambda: small.predict(many), 1)
    equal = int((original.predict(rows) == small.predict(rows)).all(axis=1).sum())
    return (
        f"{single[0] * 1e6:,.0f} µs | {single[1] * 1e6:,.1f} µs | {single[0] / single[1]:,.0f} |"
        f" {ROWS / batch[0]:,.0f} | {ROWS / batch[1]:,.0f} | {batch[0] / batch[1]:,.1f} |"
        f" {equal:,} of {rows.rows:,} | {path.stat().st_size / 1024:,.0f} KB |"
    )


def some(columns: Columns, count: int) -> Columns:
    arrays = tuple(array[:count] for array in columns.arrays)
    return Columns(features=columns.features, arrays=arrays)


def turns(
    left: Callable[[], object], right: Callable[[], object], calls: int
) -> tuple[float, float]:
    """Median seconds of processor time of a call of each, turn by turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS):
        for call, times in zip((left, right), taken, strict=True):
            started = time.process_time()
            for _ in range(calls):
                call()
            times.append((time.process_time() - started) / calls)
    return statistics.median(taken[0]), statistics.median(taken[1])


def main(names: list[str]) -> None:
    print(
        "| pipeline | original, a row | compiled, a row | ratio | original, rows/s | compiled, rows/s | ratio"
        " | equal rows, bit for bit | artifact |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, make in MODELS.items():
            if names and name.partition(",")[0] not in names:
                continue
            print(f"| {name} | {measured(make, Path(folder))}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
