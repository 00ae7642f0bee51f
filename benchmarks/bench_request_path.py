"""What a prediction costs beside its model, each part against its floor, in one run.

Every figure is the median of alternating rounds; ratios are what counts, the machine is noisy.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from scipy.stats import ks_2samp
from xxhash import xxh3_64_intdigest

from trimtab.config import JournalConfig
from trimtab.drift.comparison import FeatureComparer, window_of
from trimtab.drift.profile import build_profile
from trimtab.record.frames import frame
from trimtab.record.journal import Journal
from trimtab.rollout import slots
from trimtab.rollout.router import Router
from trimtab.schema import Checker, columns_from_frame, infer_signature
from trimtab.telemetry import Metrics
from trimtab.types import Arm, PredictionRecord, Route, RowRequest, Task
from trimtab.wiring.clock import SystemClock

ROUNDS = 9


def alternating(ours: Callable[[], object], floor: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, measured turn by turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, times in zip((ours, floor), taken, strict=True):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
    return median(taken[0]), median(taken[1])


def tell(what: str, unit: str, scale: float, ours: float, floor: float, of: str) -> None:
    """One line of the table in README.md."""
    print(f"\n{what}: {ours * scale:.2f} {unit}, {of} {floor * scale:.2f} {unit}: "
          f"{ours / floor:.2f} x")  # fmt: skip


def record(number: int) -> PredictionRecord:
    return PredictionRecord(
        prediction_id=f"{number:032x}", request_id=None, event_time=1.7e9, wall_time=1.7e9,
        model="m", version=1, digest="sha256:" + "0" * 64, epoch=1, rollout=None, arm=0, share=0.1,
        unit="0" * 16, sticky=True, values=(1.5,) * 20, sources="q" * 20,
        ages_seconds=(None,) * 20, score=0.5, outputs=(0.5, 0.5), positive=True, latency_ms=1.0,
    )  # fmt: skip


def test_routing() -> None:
    table = slots.grow(slots.all_control(), (0.1,))
    route = Route(
        model="m", epoch=1, slots=table, salt="s", strategy="canary",
        arms=(Arm(name="champion", version=1, share=0.9), Arm(name="candidate", version=2, share=0.1)),
    )  # fmt: skip
    keys = [f"user{i}" for i in range(20_000)]
    assign = Router().assign
    ours, floor = alternating(
        lambda: [assign(route, key, "") for key in keys],
        lambda: [xxh3_64_intdigest(f"s:{key}".encode()) for key in keys],
    )
    tell("routing a key", "ns", 1e9 / len(keys), ours, floor, "the hash alone")


def test_checking_a_row() -> None:
    rng = np.random.default_rng(0)
    data = pa.table({f"x{i}": rng.normal(size=100) for i in range(20)})
    checker = Checker(infer_signature(data, task=Task.REGRESSION))
    rows = [RowRequest(features=row) for row in data.to_pylist()] * 50
    ours, floor = alternating(
        lambda: [checker.check(row, "rows[0]") for row in rows],
        lambda: [list(row.features.values()) for row in rows],
    )
    tell("checking 20 features", "us", 1e6 / len(rows), ours, floor, "copying the values")


def test_recording(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", JournalConfig(), Metrics(), SystemClock())
    records = [record(i) for i in range(2_000)]
    framed = [frame(msgspec.msgpack.encode(r)) for r in records]
    raw = os.open(tmp_path / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ours, floor = alternating(
        lambda: [journal.append([r]) for r in records],
        lambda: [os.write(raw, f) for f in framed],
    )
    journal.close()
    os.close(raw)
    tell("recording a prediction", "us", 1e6 / len(records), ours, floor, "the write alone")


def test_comparing_a_window() -> None:
    def data(rows: int, seed: int) -> dict[str, Any]:
        made = np.random.default_rng(seed)
        return {f"x{i}": made.lognormal(size=rows) for i in range(20)}

    reference, current = data(100_000, 1), data(200_000, 2)
    signature = infer_signature(pa.table(reference), task=Task.REGRESSION)
    profile = build_profile(columns_from_frame(signature, pa.table(reference)))
    columns = columns_from_frame(signature, pa.table(current))
    comparer = FeatureComparer(profile)
    ours, naive = alternating(
        lambda: comparer.compare(window_of(profile, columns)),
        lambda: [ks_2samp(reference[n], current[n], method="asymp") for n in reference],
    )
    tell("200,000 x 20 against 100,000", "ms", 1e3, ours, naive, "SciPy's ks_2samp")
