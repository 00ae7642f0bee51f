"""Windows of machines that share a database are those of one machine that saw all, whoever merges."""

from __future__ import annotations

from random import Random
from typing import cast

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.performance.recorded import prediction

from trimtab.config import WatchConfig
from trimtab.protocols import StateTx
from trimtab.sketch import Sketcher, fit, sketch, to_bytes
from trimtab.types import FeatureKind, PredictionRecord, Window
from trimtab.windows import FeatureWindows, SharedWindows

BINNING = fit(FeatureKind.NUMERIC, np.random.default_rng(0).normal(size=500))
SKETCHER = Sketcher([BINNING] * 2, ranks=dict.fromkeys((0, 1), sketch(BINNING, np.random.default_rng(0).normal(size=500))), whole_rows=True)  # fmt: skip
CONFIG = WatchConfig(window_seconds=100.0, lateness_seconds=30.0, min_rows=1)
OF = ("data_drift", "flights_late", 1, SKETCHER)


class Shared:
    """A database of blobs."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.locked: list[str] = []
        self.watch = self

    def blob(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def save_blob(self, key: str, blob: bytes) -> None:
        self.kept[key] = blob

    def blobs(self, prefix: str) -> dict[str, bytes]:
        return {key: self.kept[key] for key in sorted(self.kept) if key.startswith(prefix)}

    def lock(self, name: str) -> None:
        self.locked.append(name)


class Machine:
    """A watcher's part: it folds, and saves what it has folded, as one transaction."""

    def __init__(self, name: str, database: Shared, config: WatchConfig = CONFIG) -> None:
        self._name, self._database = name, database
        self._config = msgspec.structs.replace(config, replica=name)
        self.start()

    def start(self) -> None:
        """Begin anew with what was saved."""
        self.windows = SharedWindows(*OF, self._config, None, key="m/1/data_drift", restore=lambda _: None)  # fmt: skip
        saved = self._database.blob(f"m/1/data_drift@{self._name}")
        if saved is not None:
            self.windows.load(msgspec.msgpack.decode(saved, type=tuple[bytes, bytes])[0])

    def tick(self, records: list[PredictionRecord]) -> list[Window]:
        found = list(self.windows.fold(records, (), cast("StateTx", self._database)))
        blob = msgspec.msgpack.encode((self.windows.dump(), b""))
        self._database.save_blob(f"m/1/data_drift@{self._name}", blob)
        return found


def stream(rows: int, seed: int) -> list[PredictionRecord]:
    """Records in the order of their event times, about eight a second."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, rows / 2, rows))
    return [
        msgspec.structs.replace(
            prediction(f"p{at}", float(time)), values=tuple(rng.normal(size=2).tolist())
        )
        for at, time in enumerate(times)
    ]


def content(windows: list[Window]) -> list[tuple[float, float, int, bool, bytes]]:
    return [(w.start, w.end, w.rows, w.overlaps, to_bytes(w.content)) for w in windows]


def one_run(records: list[PredictionRecord], config: WatchConfig = CONFIG) -> list[Window]:
    return list(FeatureWindows(*OF, config).fold(records, (), cast("StateTx", None)))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    machines=st.integers(1, 4),
    panes=st.sampled_from([1, 4]),
)
def test_merged_windows_are_those_of_one_run(seed: int, machines: int, panes: int) -> None:
    random = Random(seed)  # noqa: S311
    config = msgspec.structs.replace(CONFIG, window_panes=panes, replica_wait_seconds=1e9)
    records, database = stream(2_000, seed), Shared()
    parts: list[list[PredictionRecord]] = [[] for _ in range(machines)]
    for at, record in enumerate(records):
        # All have the earliest records and the latest, so that all reach the end.
        parts[at % machines if at < 64 or at > 1_900 else random.randrange(machines)].append(record)
    all_ = [Machine(f"m{at}", database, config) for at in range(machines)]
    found: list[Window] = []
    for at, machine in enumerate(all_):  # a machine is waited for from its first records on
        found += machine.tick(parts[at][:16])
        parts[at] = parts[at][16:]
    while any(parts):
        at = random.randrange(machines)
        size = random.randrange(1, 200)
        found += all_[at].tick(parts[at][:size])
        parts[at] = parts[at][size:]
        if random.random() < 0.1:
            all_[at].start()
    for machine in all_ * 2:
        found += machine.tick([])
    expected = one_run(records, config)
    # What is merged last waits for the slowest machine's last record.
    assert len(expected) - panes <= len(found) <= len(expected)
    assert content(expected[: len(found)]) == content(found)
    assert 0 == sum(machine.windows.late for machine in all_)


def test_a_machine_that_has_stopped_holds_nothing_back_for_longer_than_its_wait() -> None:
    config = msgspec.structs.replace(CONFIG, replica_wait_seconds=250.0)
    records, database = stream(2_000, 1), Shared()
    first, second = Machine("a", database, config), Machine("b", database, config)
    first.tick(records[0:100:2])
    second.tick(records[1:100:2])
    found = first.tick(records[100:400:2]) + second.tick(records[101:400:2])
    alone = records[400:]
    for start in range(0, len(alone), 100):
        found += second.tick(alone[start : start + 100])
    assert 8 <= len(found)
    assert content(one_run(records))[: len(found)] == content(found)


def test_what_comes_after_a_window_was_merged_is_dropped_and_counted() -> None:
    config = msgspec.structs.replace(CONFIG, replica_wait_seconds=250.0)
    records, database = stream(2_000, 1), Shared()
    slow, fast = Machine("a", database, config), Machine("b", database, config)
    slow.tick(records[0:100:2])
    found = fast.tick(records[1::2])
    merged = sum(window.rows for window in found)
    rest = records[100::2]
    slow.tick(rest)
    early = sum(record.event_time < found[-1].end for record in rest)
    assert early == slow.windows.late
    assert merged == 50 + sum(record.event_time < found[-1].end for record in records[1::2])


def test_merging_is_done_under_the_lock_by_the_first_by_name() -> None:
    database = Shared()
    records = stream(800, 1)
    first, second = Machine("a", database), Machine("b", database)
    first.tick(records[:60:2])
    second.tick(records[1:60:2])
    database.locked.clear()
    assert [] == second.tick(records[61::2])
    assert [] == database.locked
    assert 3 == len(first.tick(records[60::2]))
    assert ["m/1/data_drift"] == database.locked
    assert [] == second.tick([])


@pytest.mark.parametrize("behind", [10.0, 60.0])
def test_a_window_waits_for_the_slowest_machine(behind: float) -> None:
    database = Shared()
    a, b = Machine("a", database), Machine("b", database)
    records = stream(800, 2)
    a.tick(records[:60:2])
    b.tick(records[1:60:2])
    b.tick([one for one in records[61::2] if one.event_time < 230 - behind])
    found = a.tick([one for one in records[60::2] if one.event_time < 390])
    assert [(230 - behind - 30) // 100] == [len(found)]
