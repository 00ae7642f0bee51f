"""The control epoch of a host: one integer in shared memory, read at every request."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from mmap import ACCESS_WRITE, mmap
from pathlib import Path

from trimtab.errors import InvalidInput, Unavailable

_BYTES = 8
EPOCH_BITS = 48
_EPOCH = (1 << EPOCH_BITS) - 1


def epoch_of(mark: int) -> int:
    """The control epoch within a mark."""
    return mark & _EPOCH


def generation_of(mark: int) -> int:
    """How many rollbacks of this host alone a mark tells of."""
    return mark >> EPOCH_BITS


class MmapEpoch:
    """A mark in a memory-mapped file of 8 bytes, shared by all processes of a host.

    Its lower 48 bits are the control epoch; those above count the rollbacks that the host carried out by
    itself, so a host that never did has the epoch for a mark. It never goes down: publishing is a comparison and a store under the file's lock. One aligned
    store makes it visible, so a reader needs no lock and sees the old epoch or the new one.

    Args:
        path: The file; made if it does not exist, and kept when the process ends.

    Raises:
        Unavailable: the file cannot be opened, or is something else.
    """

    __slots__ = ("_cell", "_map", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                self._map = _map(file, path)
        except OSError as wrong:
            raise _unusable(path, str(wrong)) from wrong
        self._cell = memoryview(self._map).cast("Q")

    def read(self) -> int:
        """The mark now."""
        return self._cell[0]

    def publish(self, epoch: int) -> None:
        """Raise the mark's epoch to ``epoch`` unless it is higher already.

        Raises:
            InvalidInput: the epoch is no 48-bit unsigned integer.
        """
        if not 0 <= epoch <= _EPOCH:
            raise InvalidInput(f"An epoch of {epoch} does not fit.", code="invalid_epoch")
        # A descriptor of its own, so that the lock also excludes this process's other threads.
        with self.path.open("r+b", buffering=0) as file, _locked(file):
            mark = self._cell[0]
            self._cell[0] = mark - epoch_of(mark) + max(epoch_of(mark), epoch)

    def override(self) -> None:
        """Tell that this host has carried out a rollback by itself."""
        with self.path.open("r+b", buffering=0) as file, _locked(file):
            self._cell[0] += 1 << EPOCH_BITS

    def close(self) -> None:
        """Release the mapping; the file stays. Idempotent."""
        self._cell.release()
        self._map.close()


@contextmanager
def _locked(file: FileIO) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        # Closing would not do: a mapping keeps a duplicate of its descriptor, and so the lock.
        fcntl.flock(file, fcntl.LOCK_UN)


def _map(file: FileIO, path: Path) -> mmap:
    with _locked(file):
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            # Written, not extended: a hole would end the process when the disk is full.
            size = file.write(bytes(_BYTES))
        if size != _BYTES:
            raise _unusable(path, f"it has {size} bytes instead of {_BYTES}")
    return mmap(file.fileno(), _BYTES, access=ACCESS_WRITE)


def _unusable(path: Path, why: str) -> Unavailable:
    return Unavailable(
        f"The epoch file {str(path)!r} cannot be used: {why}.",
        code="epoch_unavailable",
        path=str(path),
        hint="Is the state directory there, and writable by this user?",
    )
