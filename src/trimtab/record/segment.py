"""One append-only file of the journal, owned by one process while it is open."""

from __future__ import annotations

import ctypes
import fcntl
import math
import os
import sys
from contextlib import suppress
from pathlib import Path

SUFFIX = ".seg"
PLENTY = 20
"""Room for a segment is reserved where the disk has so many times as much."""

_KEEP_SIZE = 1
"""``FALLOC_FL_KEEP_SIZE``. Source: fallocate(2)."""


class Segment:
    """A new segment, locked as long as its writer lives.

    ``takes`` is false once it is full, or the disk failed in a way that leaves the file's end unknown; then
    nothing more may be written to it.

    The kernel drops the lock when the process ends, however it ends; so a reader knows whether a
    torn tail is still being written (see :func:`abandoned`).

    Args:
        path: The file to create.
        room: How many bytes will be written to it, any number if 0; what was not is given back when it is closed.

    Raises:
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path, room: int = 0) -> None:
        self.path = path
        self.size = 0
        self.takes = True
        self._room = room or math.inf
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        hidden = path.with_name(f".{path.name}.new")
        self._fd = os.open(hidden, flags, 0o640)
        # Locked before it can be seen: else somebody could take it for one that was left, and remove it.
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            os.link(hidden, path)
        except OSError:
            os.close(self._fd)
            raise
        finally:
            hidden.unlink()
        self._reserved = _reserve(self._fd, room)
        _sync_directory(path.parent)

    def write(self, data: bytes) -> None:
        """Append all of ``data`` or nothing.

        Raises:
            OSError: the disk refused; the file ends where it ended before.
        """
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, memoryview(data)[written:])
        except OSError:
            self._cut()
            raise
        self.size += len(data)
        if self.size >= self._room:
            self.takes = False

    def sync(self) -> None:
        """Wait until all that was written is on disk.

        Raises:
            OSError: the disk refused; what was written since the last sync may be lost.
        """
        try:
            os.fdatasync(self._fd)
        except OSError:
            # The kernel forgets a failed page: a second sync would succeed and promise too much.
            self.takes = False
            raise

    def close(self) -> None:
        """Give up the file and its lock."""
        if self._reserved:
            with suppress(OSError):
                os.ftruncate(self._fd, os.fstat(self._fd).st_size)
        os.close(self._fd)

    def _cut(self) -> None:
        try:
            os.ftruncate(self._fd, self.size)
        except OSError:
            self.takes = False


def abandoned(fd: int) -> bool:
    """Whether the writer of an open segment is gone, so that nothing will be added to it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def _reserve(fd: int, room: int) -> bool:
    """Take the disk's blocks for an empty file; whether they were taken.

    A write that needs a new block waits as long as a sync gives out those of earlier writes, which is milliseconds, and on
    a busy disk many. One into blocks that the file has does not.
    """
    disk = os.fstatvfs(fd)
    if sys.platform != "linux" or not 0 < room * PLENTY < disk.f_bavail * disk.f_frsize:
        return False
    taken: int = ctypes.CDLL(None).fallocate(
        fd, _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(room)
    )
    return taken == 0


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
