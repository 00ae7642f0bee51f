from __future__ import annotations

import os

from trimtab.serve.memory import resident_bytes


def test_memory_is_told_in_bytes() -> None:
    held = bytearray(os.urandom(1)) * 50_000_000
    before = resident_bytes(os.getpid())
    assert before > len(held)
    held.clear()
    assert resident_bytes(os.getpid()) < before - 40_000_000


def test_a_process_that_is_gone_takes_none() -> None:
    assert resident_bytes(2**30) == 0
