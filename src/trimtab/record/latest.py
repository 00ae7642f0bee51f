"""What was recorded last, for those who look in now and then."""

from __future__ import annotations

from pathlib import Path

from trimtab.record.frames import runs
from trimtab.record.segment import SUFFIX, abandoned
from trimtab.recordtable import RecordTable, decoded, joined

TAIL_BYTES = 256 * 1024
"""Of each writer: some hundred records, which take a few milliseconds to read."""


def latest(directory: Path) -> RecordTable:
    """The last records of each writer that lives, about ``TAIL_BYTES`` of them, in its order."""
    found = []
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            file = path.open("rb")
        except FileNotFoundError:  # compacted or removed meanwhile
            continue
        with file:
            if not abandoned(file.fileno()):
                begin = max(0, file.seek(0, 2) - TAIL_BYTES)
                tail = runs(file, begin, final=False)
                found.append(decoded([one for run in tail for one in run.payloads])[0])
    return joined(found)
