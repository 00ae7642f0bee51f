from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab.record.segment import Segment


@pytest.mark.parametrize("act", [Segment.sync, lambda segment: segment.write(b"x")])
def test_a_failure_that_leaves_the_end_unknown_spoils_the_segment(
    act: Callable[[Segment], None], tmp_path: Path
) -> None:
    segment = Segment(tmp_path / "a.seg")
    segment.write(b"sound")
    assert segment.takes
    segment.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        act(segment)
    assert (segment.takes, segment.size) == (False, 5)


def test_a_segment_is_never_opened_twice(tmp_path: Path) -> None:
    Segment(tmp_path / "a.seg").close()
    with pytest.raises(FileExistsError):
        Segment(tmp_path / "a.seg")


def test_room_is_taken_before_it_is_written_and_what_was_not_is_given_back(tmp_path: Path) -> None:
    room = 1 << 20
    segment = Segment(tmp_path / "a.seg", room)
    segment.write(b"x" * 5_000)
    found = segment.path.stat()
    assert found.st_size == 5_000
    assert found.st_blocks * 512 >= room
    segment.close()
    found = segment.path.stat()
    assert found.st_size == 5_000
    assert found.st_blocks * 512 < room / 10
    assert segment.takes


def test_no_room_is_taken_that_the_disk_has_not_many_times(tmp_path: Path) -> None:
    segment = Segment(tmp_path / "a.seg", 1 << 60)
    assert segment.path.stat().st_blocks == 0
    segment.write(b"sound")
    segment.close()
    assert segment.path.read_bytes() == b"sound"
