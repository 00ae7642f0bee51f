"""What a process is doing that may end it, in memory that outlives it.

Before a call that could end the process, the record of that end is written into a slot of a mapped
file; after the call the slot is empty again. Whoever finds the process dead reads what was left there.
"""

from __future__ import annotations

from collections import deque
from mmap import mmap
from pathlib import Path

import msgspec

from trimtab.types import PredictionRecord

SLOTS = 16
SLOT_BYTES = 16 * 1024
_HEAD = 4


class Unfinished:
    """The slots of one process.

    Args:
        path: The file; made anew.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(SLOTS * SLOT_BYTES))
        with path.open("r+b") as file:
            self._map = mmap(file.fileno(), SLOTS * SLOT_BYTES)
        self._free = deque(range(SLOTS))
        self._encode = msgspec.msgpack.Encoder().encode

    def begin(self, record: PredictionRecord) -> int | None:
        """Keep a record until ``end``; the slot, None if all are taken or it is too long for one."""
        data = self._encode(record)
        if len(data) > SLOT_BYTES - _HEAD:
            return None
        try:
            slot = self._free.pop()
        except IndexError:
            return None
        at = slot * SLOT_BYTES
        self._map[at + _HEAD : at + _HEAD + len(data)] = data
        # The length comes last: a process that ends between the two has begun nothing.
        self._map[at : at + _HEAD] = len(data).to_bytes(_HEAD, "little")
        return slot

    def end(self, slot: int | None) -> None:
        """The call came back."""
        if slot is None:
            return
        at = slot * SLOT_BYTES
        self._map[at : at + _HEAD] = bytes(_HEAD)
        self._free.append(slot)


def left_behind(path: Path) -> list[PredictionRecord]:
    """What a dead process was doing; empty if it was doing nothing, or kept no file."""
    if not path.is_file():
        return []
    data = path.read_bytes()
    found = []
    for at in range(0, len(data) - _HEAD, SLOT_BYTES):
        length = int.from_bytes(data[at : at + _HEAD], "little")
        if length:
            payload = data[at + _HEAD : at + _HEAD + length]
            found.append(msgspec.msgpack.decode(payload, type=PredictionRecord))
    return found
