"""The files in which several processes keep their metrics, and the text that is scraped of them."""

from __future__ import annotations

import fcntl
import math
import os
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.samples import Exemplar

from trimtab.errors import Unavailable
from trimtab.recordtable import RecordTable
from trimtab.telemetry import ALL, LATENCY_BUCKETS, UNKNOWN

RESERVED_BYTES = 262_144
"""Of each file of metrics, of which a process has five: some 1,500 values."""

MOST_NAMED = 128 - len("prediction_id")
"""OpenMetrics allows an exemplar so many characters."""


def exposition(
    registry: CollectorRegistry,
    directory: Path | None = None,
    target: Callable[[str], float] | None = None,
    answers: RecordTable | None = None,
) -> bytes:
    """The text that Prometheus scrapes.

    Args:
        registry: The process's own metrics, used when there is no ``directory``.
        directory: Where several processes keep theirs; then they are merged.
        target: A model's promised availability; with it availability and error budget are told.
        answers: The latest answers; with them the text is OpenMetrics, and names one for each bucket of latency.
    """
    if directory is None:
        families = list(registry.collect())
    else:
        with _alone(directory, fcntl.LOCK_SH):
            families = list(MultiProcessCollector(None, path=str(directory)).collect())  # type: ignore[no-untyped-call]  # has no types
    told = [] if target is None else _availability(families, target)
    named = {family.name for family in told}
    told += [family for family in families if family.name not in named]
    collected = cast("CollectorRegistry", _Collected(told))
    if answers is None:
        return generate_latest(collected)
    _name_answers(told, answers)
    text: bytes = openmetrics.generate_latest(collected)  # type: ignore[no-untyped-call]  # has no types
    return text


class _Collected:
    """Families in the place of a registry."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._families


def _availability(families: Iterable[Metric], target: Callable[[str], float]) -> list[Metric]:
    """By model: ``1 - failed / all`` requests, and ``1 - failed / ((1 - target) all)``.

    Failed is what was answered with 5xx. Requests for no model are left out.
    """
    asked: Counts[str] = Counts()
    failed: Counts[str] = Counts()
    samples = [s for f in families for s in f.samples if s.name == "ml_requests_total"]
    for sample in samples:
        model = sample.labels["model"]
        if model != UNKNOWN:
            asked[model] += int(sample.value)
            failed[model] += int(sample.value) if sample.labels["code"].startswith("5") else 0
    helps = {spec.name: spec.help for spec in ALL}
    names = ("ml_availability_ratio", "ml_error_budget_ratio")
    ratio, budget = (GaugeMetricFamily(name, helps[name], labels=("model",)) for name in names)
    for model, requests in asked.items():
        share = failed[model] / requests
        ratio.add_metric((model,), 1 - share)
        budget.add_metric((model,), 1 - share / (1 - target(model)))
    return [ratio, budget]


def _name_answers(families: Iterable[Metric], answers: RecordTable) -> None:
    """Let each bucket of latency name the latest answer in it, by its prediction id."""
    found: dict[tuple[str, float], Exemplar] = {}
    names, models = answers.cells("prediction_id"), answers.cells("model")
    seconds = (answers.floats("latency_ms") / 1e3).tolist()
    times, shadowed = answers.floats("wall_time"), answers.shadowed
    for at in np.argsort(times).tolist():
        if not shadowed[at] and len(names[at]) <= MOST_NAMED:
            place = bisect_left(LATENCY_BUCKETS, seconds[at])
            bucket = (*LATENCY_BUCKETS, math.inf)[place]
            label = {"prediction_id": names[at]}
            found[models[at], bucket] = Exemplar(label, seconds[at], float(times[at]))
    for family in families:
        if family.name == "ml_prediction_duration_seconds":
            family.samples = [
                sample._replace(exemplar=found.get((sample.labels["model"], float(le))))
                if (le := sample.labels.get("le"))
                else sample
                for sample in family.samples
            ]


def reserve(pid: int, directory: Path) -> None:
    """Take room on the disk for what a process will count: 0 for all that have ended.

    The files are mapped, and writing to a place that a full disk cannot give ends a process at once.

    Raises:
        Unavailable: there is no room.
    """
    modes = {spec.mode for spec in ALL if spec.kind == "gauge"}
    try:
        for kind in ("counter", "histogram", *(f"gauge_{mode}" for mode in modes)):
            path = directory / f"{kind}_{pid}.db"
            if not path.exists():
                path.write_bytes(bytes(RESERVED_BYTES))
    except OSError as full:
        raise Unavailable(
            f"There is no room for metrics in {directory}: {full.strerror}.",
            code="disk_full",
            hint="Free space on its disk.",
        ) from full


def forget(pid: int, directory: Path) -> None:
    """Take a process that has ended out of the live gauges, and add what it counted to what others had.

    All that have ended share one file a kind: a scrape reads each file that is there.
    """
    with _alone(directory, fcntl.LOCK_EX):
        mark_process_dead(pid, path=str(directory))  # type: ignore[no-untyped-call]  # has no types
        for path in directory.glob(f"*_{pid}.db"):
            if path.stat().st_size:  # else it ended before it wrote anything
                _keep(path, path.name.removesuffix(f"_{pid}.db"))
            path.unlink()


def told_by_the_living(name: str, directory: Path) -> float:
    """The sum of a gauge without labels over the processes that keep their metrics there and still run."""
    (spec,) = [spec for spec in ALL if spec.name == name]
    key = mmap_key(name, name, [], [], spec.help)
    found = 0.0
    for path in directory.glob(f"gauge_{spec.mode}_*.db"):
        if _lives(int(path.stem.rpartition("_")[2])):
            told = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]  # has no types
            found += sum(value for at, value, _, _ in told if at == key)
    return found


def _lives(pid: int) -> bool:
    """Whether a process runs; 0 stands for those that have ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another account's
        return True
    return pid > 0


def count_for_others(name: str, directory: Path) -> None:
    """Add one to a counter without labels, from a process that keeps no metrics itself."""
    (spec,) = [spec for spec in ALL if spec.name == name]
    key = mmap_key(name.removesuffix("_total"), name, [], [], spec.help)
    with _alone(directory, fcntl.LOCK_EX), closing(_kept("counter", directory)) as kept:
        kept.write_value(key, kept.read_value(key)[0] + 1.0, 0.0)


def _keep(path: Path, kind: str) -> None:
    """Add up counters and histograms; of gauges the latest stands."""
    told = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]  # as above
    with closing(_kept(kind, path.parent)) as kept:
        for key, value, at, _ in told:
            before, since = kept.read_value(key)
            if not kind.startswith("gauge"):
                kept.write_value(key, before + value, at)
            elif at >= since:
                kept.write_value(key, value, at)


def _kept(kind: str, directory: Path) -> Any:
    """What processes that have ended told, in a file that is named like one of a process's own."""
    return MmapedDict(str(directory / f"{kind}_0.db"))  # type: ignore[no-untyped-call]  # as above


@contextmanager
def _alone(directory: Path, how: int) -> Iterator[None]:
    """Hold these files together with other readers, or alone to change them."""
    with (directory / "lock").open("a") as lock:
        fcntl.flock(lock, how)
        yield
