"""Files that are there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from trimtab.errors import Unavailable

PART = ".part"


@contextmanager
def new_file(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file to write, named ``*.part``; removed on leaving unless it was moved away.

    Raises:
        Unavailable: the disk refuses.
    """
    part = folder / f".{uuid4().hex}{PART}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                yield file, part
        finally:
            part.unlink(missing_ok=True)
    except OSError as refused:
        raise Unavailable(
            f"{folder} cannot be written: {refused.strerror or refused}.",
            hint="Is the disk full or read-only, or the folder not yours?",
            code="disk_refused",
        ) from refused


def commit(file: BinaryIO, part: Path, target: Path) -> None:
    """Bring a written file to disk and then to its place, over what was there."""
    file.flush()
    os.fsync(file.fileno())
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    if os.name == "nt":  # directories cannot be opened there, and need no sync
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
