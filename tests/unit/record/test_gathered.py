"""Records of one turn of the event loop are one write, which all of them wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from trimtab.config import JournalConfig
from trimtab.errors import Unavailable
from trimtab.record.journal import Journal, in_sample
from trimtab.record.reader import SegmentReader
from trimtab.serve.turns import Turns
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord

Make = Callable[..., PredictionRecord]


def opened(directory: Path, config: JournalConfig, metrics: Metrics | None = None) -> Journal:
    return Journal(directory, config, metrics or Metrics(), FakeClock(), Turns())


def found(directory: Path) -> list[int]:
    return [int(one.prediction_id, 16) for one in SegmentReader(directory, Metrics()).records()]


async def settled(*waiting: Awaitable[None] | None) -> list[BaseException | None]:
    """What became of each, in order."""
    told = [one for one in waiting if one is not None]
    async with asyncio.timeout(10):
        return await asyncio.gather(*told, return_exceptions=True)


async def test_nothing_is_written_before_the_turn_ends_and_all_of_it_then(
    tmp_path: Path, make_record: Make
) -> None:
    writer = opened(tmp_path, JournalConfig())
    waiting = [writer.put([make_record(2 * n), make_record(2 * n + 1)]) for n in range(8)]
    assert found(tmp_path) == []
    assert await settled(*waiting) == [None] * 8
    assert found(tmp_path) == list(range(16))
    assert await settled(writer.put([make_record(16)])) == [None]
    assert found(tmp_path) == list(range(17))
    writer.close()


async def test_what_is_put_last_is_written_at_once_behind_what_was_gathered(
    tmp_path: Path, make_record: Make
) -> None:
    writer = opened(tmp_path, JournalConfig())
    assert writer.put([make_record(0)], last=True) is None
    assert found(tmp_path) == [0]
    waiting = writer.put([make_record(1)]), writer.put([make_record(2)], last=True)
    assert found(tmp_path) == [0, 1, 2]
    assert await settled(*waiting) == [None, None]
    writer.close()
    with pytest.raises(Unavailable, match="closed"):
        writer.put([make_record(3)], last=True)


async def test_what_is_put_last_on_a_durable_journal_waits_for_the_disk(
    tmp_path: Path, make_record: Make
) -> None:
    writer = opened(tmp_path, JournalConfig(mode="durable"))
    waiting = writer.put([make_record(0)], last=True)
    assert waiting is not None
    assert found(tmp_path) == [0]
    assert await settled(waiting) == [None]
    writer.close()


async def test_a_disk_that_refuses_refuses_each_of_the_turn(
    tmp_path: Path, make_record: Make
) -> None:
    (tmp_path / "file").write_text("")
    writer = opened(tmp_path / "file" / "journal", JournalConfig())
    refused = await settled(writer.put([make_record(0)]), writer.put([make_record(1)]))
    assert [one.code for one in refused if isinstance(one, Unavailable)] == [
        "journal_unavailable",
        "journal_unavailable",
    ]


async def test_a_disk_that_refuses_costs_counted_records_where_that_is_the_setting(
    tmp_path: Path, make_record: Make
) -> None:
    (tmp_path / "file").write_text("")
    metrics = Metrics()
    writer = opened(tmp_path / "file" / "journal", JournalConfig(on_full="drop"), metrics)
    waiting = (writer.put([make_record(0), make_record(1)]), writer.put([make_record(2)]))
    assert await settled(*waiting) == [None, None]
    told = generate_latest(metrics.registry)
    assert b'ml_prediction_log_dropped_total{reason="enotdir"} 3.0' in told


async def test_what_is_gathered_when_the_journal_closes_is_written_and_what_comes_later_refused(
    tmp_path: Path, make_record: Make
) -> None:
    writer = opened(tmp_path, JournalConfig())
    waiting = writer.put([make_record(0)])
    writer.close()
    assert await settled(waiting) == [None]
    assert found(tmp_path) == [0]
    (late,) = await settled(writer.put([make_record(1)]))
    assert isinstance(late, Unavailable)
    assert late.code == "journal_closed"


async def test_of_a_sample_only_those_in_it_are_gathered(tmp_path: Path, make_record: Make) -> None:
    writer = opened(tmp_path, JournalConfig(mode="sampled", sample_ratio=0.5))
    units = [f"{n:016x}" for n in range(64)]
    await settled(*(writer.put([make_record(n, unit=unit)]) for n, unit in enumerate(units)))
    assert found(tmp_path) == [n for n, unit in enumerate(units) if in_sample(unit, 0.5)]
    writer.close()


@pytest.mark.parametrize("mode", ["bounded", "sampled"])
async def test_nothing_to_record_is_nothing_to_wait_for(tmp_path: Path, mode: str) -> None:
    writer = Journal(tmp_path, JournalConfig(mode=mode), Metrics(), FakeClock(), Turns())  # type: ignore[arg-type]
    assert writer.put([]) is None
    writer.close()
