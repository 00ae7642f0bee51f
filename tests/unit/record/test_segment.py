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
    assert segment.sound
    segment.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        act(segment)
    assert (segment.sound, segment.size) == (False, 5)


def test_a_segment_is_never_opened_twice(tmp_path: Path) -> None:
    Segment(tmp_path / "a.seg").close()
    with pytest.raises(FileExistsError):
        Segment(tmp_path / "a.seg")
