"""The three modes: what is kept, what is waited for, and what a power failure can cost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from trimtab.config import JournalConfig
from trimtab.errors import Unavailable
from trimtab.record.journal import Journal, in_sample
from trimtab.record.reader import SegmentReader
from trimtab.record.segment import Segment
from trimtab.rollout.split import slot, unit_hash
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord

Make = Callable[..., PredictionRecord]
Mode = Literal["durable", "bounded", "sampled"]
SECONDS = 10.0


def journal(directory: Path, config: JournalConfig, metrics: Metrics | None = None) -> Journal:
    return Journal(directory, config, metrics or Metrics(), FakeClock())


def names(directory: Path) -> list[int]:
    found = SegmentReader(directory, Metrics()).records()
    return [int(record.prediction_id, 16) for record in found]


class SlowDisk:
    """Stands in for a segment's disk: each sync waits for leave, and may fail."""

    def __init__(self, segment: Segment) -> None:
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)
        self.syncs = 0
        self.error: OSError | None = None
        self._sync = segment.sync
        segment.sync = self.sync  # type: ignore[method-assign]

    def sync(self) -> None:
        self.entered.release()
        assert self.leave.acquire(timeout=SECONDS)
        self.syncs += 1
        if self.error is not None:
            raise self.error
        self._sync()


async def entered(disk: SlowDisk) -> None:
    assert await asyncio.to_thread(disk.entered.acquire, True, SECONDS)


def opened(writer: Journal, make_record: Make) -> SlowDisk:
    writer.append([make_record(0)])
    assert writer._segment is not None
    return SlowDisk(writer._segment)


async def test_durable_replies_wait_and_share_the_next_sync_without_holding_the_loop(
    tmp_path: Path, make_record: Make
) -> None:
    writer = journal(tmp_path, JournalConfig(mode="durable"))
    disk = opened(writer, make_record)
    first = writer.put([make_record(1)])
    assert first is not None
    await entered(disk)  # the loop goes on while the disk is busy
    waiting = [asyncio.ensure_future(first)]
    for number in range(2, 20):
        later = writer.put([make_record(number)])
        assert later is not None
        waiting.append(asyncio.ensure_future(later))
    assert not any(one.done() for one in waiting)
    disk.leave.release()
    await waiting[0]
    await entered(disk)
    assert sum(one.done() for one in waiting) == 1
    disk.leave.release()
    await asyncio.gather(*waiting)
    assert (disk.syncs, names(tmp_path)) == (2, list(range(20)))
    disk.leave.release()
    await asyncio.to_thread(writer.close)


@pytest.mark.parametrize("on_full", ["refuse", "drop"])
async def test_a_failed_sync_refuses_or_is_counted_once(
    on_full: Literal["refuse", "drop"], tmp_path: Path, make_record: Make
) -> None:
    metrics = Metrics()
    writer = journal(tmp_path, JournalConfig(mode="durable", on_full=on_full), metrics)
    disk = opened(writer, make_record)
    disk.error = OSError(28, "No space left on device")
    waiting = writer.put([make_record(1), make_record(2)])
    assert waiting is not None
    disk.leave.release()
    if on_full == "refuse":
        with pytest.raises(Unavailable) as refused:
            await waiting
        assert refused.value.code == "journal_unavailable"
    else:
        await waiting
    dropped = metrics.registry.get_sample_value(
        "ml_prediction_log_dropped_total", {"reason": "enospc"}
    )
    assert dropped == (None if on_full == "refuse" else 2)
    disk.error = None
    for _ in range(3):
        disk.leave.release()
    await asyncio.to_thread(writer.close)


async def test_who_gives_up_waiting_disturbs_nobody(tmp_path: Path, make_record: Make) -> None:
    writer = journal(tmp_path, JournalConfig(mode="durable"))
    disk = opened(writer, make_record)
    waiting = writer.put([make_record(1)])
    other = writer.put([make_record(2)])
    assert waiting is not None
    assert other is not None
    given_up = asyncio.ensure_future(waiting)
    await entered(disk)
    given_up.cancel()
    for _ in range(3):
        disk.leave.release()
    await other
    assert names(tmp_path) == [0, 1, 2]
    await asyncio.to_thread(writer.close)


@pytest.mark.parametrize("mode", ["bounded", "sampled"])
def test_the_other_modes_have_nothing_to_wait_for(
    mode: Mode, tmp_path: Path, make_record: Make
) -> None:
    writer = journal(tmp_path, JournalConfig(mode=mode, sample_ratio=1.0))
    assert writer.put([make_record(1)]) is None
    assert names(tmp_path) == [1]
    writer.close()


def test_a_sample_keeps_all_or_nothing_of_a_unit_and_counts_the_rest(
    tmp_path: Path, make_record: Make
) -> None:
    metrics = Metrics()
    writer = journal(tmp_path, JournalConfig(mode="sampled", sample_ratio=0.25), metrics)
    units = [unit_hash(f"user-{number}") for number in range(2_000)]
    for time in range(2):
        writer.append([make_record(2 * n + time, unit=unit) for n, unit in enumerate(units)])
    writer.close()
    kept = {number // 2 for number in names(tmp_path)}
    assert kept == {n for n, unit in enumerate(units) if in_sample(unit, 0.25)}
    assert len(names(tmp_path)) == 2 * len(kept)
    assert 440 <= len(kept) <= 560  # 500 expected, within three standard deviations
    left = metrics.registry.get_sample_value("ml_journal_unsampled_total")
    assert left == 2 * (2_000 - len(kept))


@pytest.mark.parametrize(("ratio", "expected"), [(0.0, 0), (1.0, 300)])
def test_none_and_all_are_shares_too(ratio: float, expected: int) -> None:
    assert expected == sum(in_sample(unit_hash(str(n)), ratio) for n in range(300))


def test_a_sample_says_nothing_of_arms() -> None:
    kept = [n for n in range(20_000) if in_sample(unit_hash(f"user-{n}"), 0.2)]
    candidate = sum(slot("salt", f"user-{n}") < 1_000 for n in kept)
    assert 330 <= candidate <= 470  # 10 % of about 4,000


def gauge(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name)


def test_the_most_that_a_power_failure_costs_is_shown(tmp_path: Path, make_record: Make) -> None:
    clock, metrics = FakeClock(), Metrics()
    writer = Journal(tmp_path, JournalConfig(sync_ms=10), metrics, clock)
    assert gauge(metrics, "ml_journal_loss_bound_seconds") == 0.01
    writer.append([make_record(0)])
    clock.advance(0.25)  # the disk took its time
    writer.close()
    lag = gauge(metrics, "ml_journal_lag_seconds")
    assert lag in {0.0, 0.25}  # the background thread may have come first
    assert gauge(metrics, "ml_journal_loss_bound_seconds") == max(0.01, lag or 0.0)


def test_with_durable_replies_it_costs_nothing(tmp_path: Path, make_record: Make) -> None:
    metrics = Metrics()
    writer = journal(tmp_path, JournalConfig(mode="durable"), metrics)
    writer.append([make_record(0)])
    writer.close()
    assert gauge(metrics, "ml_journal_loss_bound_seconds") == 0.0
