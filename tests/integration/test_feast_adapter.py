"""The Feast adapter over a real repository, in an environment of its own beside the locked versions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import trimtab

ROOT = Path(__file__).parents[2]


def test_an_existing_feast_repository_keeps_the_laws_of_reading(tmp_path: Path) -> None:
    made = subprocess.run(
        [ROOT / "scripts" / "peer-env.sh", "feast"], check=True, stdout=subprocess.PIPE, text=True
    )
    library, repository = tmp_path / "library", tmp_path / "repository"
    library.mkdir()
    repository.mkdir()
    (library / "trimtab").symlink_to(Path(trimtab.__file__).parent)
    ran = subprocess.run(
        [made.stdout.strip(), Path(__file__).with_name("feast_peer.py"), repository],
        env={**os.environ, "PYTHONPATH": str(library), "FEAST_USAGE": "False"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ran.stdout.splitlines()[-1] == "the laws hold", ran.stdout
