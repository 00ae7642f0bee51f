from __future__ import annotations

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trimtab.record.segment import Segment, abandoned
from trimtab.record.sync import GroupSync

SECONDS = 10.0


class WatchedSegment(Segment):
    """A segment whose syncs can be held up, counted and made to fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.syncs = 0
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.error: OSError | None = None

    def sync(self) -> None:
        self.syncs += 1
        self.entered.set()
        assert self.go_on.wait(SECONDS)
        if self.error is not None:
            raise self.error
        super().sync()


@pytest.fixture
def segment(tmp_path: Path) -> WatchedSegment:
    return WatchedSegment(tmp_path / "a.seg")


def never(error: OSError, records: int) -> None:
    raise AssertionError(error, records)


def test_threads_that_wait_at_once_share_a_sync(segment: WatchedSegment) -> None:
    group = GroupSync(SECONDS, never)
    segment.go_on.clear()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(group.wait, group.wrote(segment, 1))
        assert segment.entered.wait(SECONDS)
        others = [pool.submit(group.wait, group.wrote(segment, 1)) for _ in range(8)]
        segment.go_on.set()
        for waiting in (first, *others):
            waiting.result(SECONDS)
    assert segment.syncs == 2
    segment.close()


def test_all_that_wait_for_a_failed_sync_are_told_and_later_ones_are_not(
    segment: WatchedSegment, tmp_path: Path
) -> None:
    group = GroupSync(SECONDS, never)
    segment.error = OSError(errno.EIO, "Input/output error")
    batch = group.wrote(segment, 1)
    assert group.wrote(segment, 1) is batch
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            group.wait(batch)
    group.retire(segment)
    other = WatchedSegment(tmp_path / "b.seg")
    group.wait(group.wrote(other, 1))
    assert (segment.syncs, other.syncs) == (1, 1)
    with (tmp_path / "a.seg").open("rb") as file:
        assert abandoned(file.fileno())
    other.close()


def test_the_background_syncs_what_nobody_waits_for(segment: WatchedSegment) -> None:
    group = GroupSync(0.001, never)
    group.start()
    group.wrote(segment, 1)
    assert segment.entered.wait(SECONDS)
    group.close()
    assert segment.syncs == 1
    segment.close()


def test_close_syncs_what_is_left_without_waiting_for_the_interval(
    segment: WatchedSegment,
) -> None:
    group = GroupSync(3600.0, never)
    group.start()
    group.wrote(segment, 1)
    group.retire(segment)
    group.close()
    assert segment.syncs == 1


def test_a_failed_background_sync_reports_the_records_at_risk(segment: WatchedSegment) -> None:
    failures: list[tuple[int | None, int]] = []
    group = GroupSync(3600.0, lambda error, records: failures.append((error.errno, records)))
    segment.error = OSError(errno.EIO, "Input/output error")
    group.start()
    group.wrote(segment, 2)
    group.wrote(segment, 3)
    group.close()
    assert failures == [(errno.EIO, 5)]
    segment.close()
