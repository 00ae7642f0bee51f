from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import trimtab
from trimtab.errors import InvalidInput, Unavailable
from trimtab.rollout.epoch import MmapEpoch

PROGRAM = """
import sys
from pathlib import Path
from trimtab.rollout.epoch import MmapEpoch
cell = MmapEpoch(Path(sys.argv[1]))
print(cell.read())
cell.publish(int(sys.argv[2]))
"""


def other_process(path: Path, epoch: int) -> int:
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), str(epoch)],
        env={"PYTHONPATH": str(Path(trimtab.__file__).parents[1])},
        capture_output=True,
        check=True,
    )
    return int(told.stdout)


def test_an_epoch_only_rises(tmp_path: Path) -> None:
    cell = MmapEpoch(tmp_path / "epoch")
    assert 0 == cell.read()
    for published, expected in ((7, 7), (3, 7), (7, 7), (2**47, 2**47)):
        cell.publish(published)
        assert expected == cell.read()


def test_another_process_and_a_restart_see_it(tmp_path: Path) -> None:
    path = tmp_path / "epoch"
    cell = MmapEpoch(path)
    cell.publish(5)
    assert 5 == other_process(path, 9)
    assert 9 == cell.read()
    cell.close()
    cell.close()
    assert 9 == MmapEpoch(path).read()
    assert (9).to_bytes(8, "little") == path.read_bytes()


def test_publishing_from_many_threads_ends_at_the_highest(tmp_path: Path) -> None:
    cells = [MmapEpoch(tmp_path / "epoch") for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: cells[n % 4].publish(n), [*range(200), *range(150)]))
    assert [199] * 4 == [cell.read() for cell in cells]


@pytest.mark.parametrize("epoch", [-1, 2**48])
def test_an_epoch_that_does_not_fit_is_refused(tmp_path: Path, epoch: int) -> None:
    with pytest.raises(InvalidInput, match="does not fit"):
        MmapEpoch(tmp_path / "epoch").publish(epoch)


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "epoch"
    path.write_text("a letter to somebody")
    with pytest.raises(Unavailable, match="20 bytes instead of 8"):
        MmapEpoch(path)
    assert "a letter to somebody" == path.read_text()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as raised:
        MmapEpoch(tmp_path / "nowhere" / "epoch")
    assert str(tmp_path / "nowhere" / "epoch") == raised.value.path
