from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from trimtab.record.segment import Segment, abandoned


@pytest.mark.parametrize("act", [Segment.sync, lambda segment: segment.write(b"x")])
def test_a_failure_that_leaves_the_end_unknown_spoils_the_segment(
    act: Callable[[Segment], None], tmp_path: Path
) -> None:
    segment = Segment(tmp_path / "a.seg")
    segment.write(b"sound")
    assert segment.sound
    segment.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        act(segment)
    assert (segment.sound, segment.size) == (False, 5)


def test_a_segment_is_never_opened_twice(tmp_path: Path) -> None:
    Segment(tmp_path / "a.seg").close()
    with pytest.raises(FileExistsError):
        Segment(tmp_path / "a.seg")


def test_a_segment_is_locked_before_it_can_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    seen, stop = threading.Event(), threading.Event()
    left: list[bool] = []

    def look() -> None:
        seen.set()
        while not stop.is_set():
            for found in tmp_path.glob("*.seg"):
                with found.open("rb") as file:
                    left.append(abandoned(file.fileno()))

    looking = threading.Thread(target=look)
    looking.start()
    assert seen.wait(10)
    segments = [Segment(path.with_name(f"{number}.seg")) for number in range(50)]
    stop.set()
    looking.join()
    assert not any(left)
    for segment in segments:
        segment.close()
