from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.errors import InvalidInput
from trimtab.rollout import audit
from trimtab.testing import FakeClock
from trimtab.types import AuditEntry


@pytest.fixture
def entries(state: Any) -> list[AuditEntry]:
    for n in range(5):
        audit.append(
            state.audit,
            actor="ada",
            action="deploy",
            model="flights",
            detail={"n": n, "share": 0.1, "arms": (1, 2), "né": None},
            reason=" because ",
            clock=FakeClock(float(n)),
        )
    return list(state.log)


def test_each_line_is_bound_to_the_one_before(entries: list[AuditEntry]) -> None:
    assert [1, 2, 3, 4, 5] == [entry.seq for entry in entries]
    assert [audit.GENESIS, *(e.hash for e in entries[:-1])] == [e.previous for e in entries]
    assert {"n": 0, "share": 0.1, "arms": [1, 2], "né": None} == entries[0].detail
    assert "because" == entries[0].reason
    assert audit.verify(entries) is None
    assert audit.verify(entries[2:]) is None
    assert audit.verify([]) is None


@pytest.mark.parametrize(
    "forged",
    [
        {"actor": "eve"},
        {"reason": "another"},
        {"detail": {"n": 2}},
        {"at": 9.0},
        {"action": "promote"},
        {"model": "other"},
        {"hash": "0" * 64},
        {"previous": "0" * 64},
        {"seq": 30},
    ],
)
def test_a_changed_line_is_found(entries: list[AuditEntry], forged: dict[str, Any]) -> None:
    changed = replace(entries[2], **forged)
    assert changed.seq == audit.verify([*entries[:2], changed, *entries[3:]])


def test_a_line_forged_together_with_its_hash_breaks_the_next(entries: list[AuditEntry]) -> None:
    changed = replace(entries[2], actor="eve")
    changed = replace(changed, hash=audit.digest(changed))
    assert 4 == audit.verify([*entries[:2], changed, *entries[3:]])


def test_a_last_line_with_a_forged_number_is_found(entries: list[AuditEntry]) -> None:
    changed = replace(entries[4], seq=9)
    changed = replace(changed, hash=audit.digest(changed))
    assert 9 == audit.verify([*entries[:4], changed])


def test_a_removed_line_is_found(entries: list[AuditEntry]) -> None:
    assert 4 == audit.verify([*entries[:2], *entries[3:]])
    assert 3 == audit.verify([entries[0], *entries[2:]])


def test_the_hash_is_pinned() -> None:
    entry = AuditEntry(
        seq=1,
        at=1.5,
        actor="ada",
        action="deploy",
        model="flights",
        detail={"b": 1, "a": [0.1, None]},
        reason="why",
        previous=audit.GENESIS,
        hash="",
    )
    assert "63420ad5c4b8260c05fb6868ab07d35c696887847f05489c5e24d6de010801b3" == audit.digest(entry)


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ada", "  ")])
def test_nobody_and_no_reason_are_refused(state: Any, actor: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match="A change needs"):
        audit.append(
            state.audit,
            actor=actor,
            action="deploy",
            model="m",
            detail={},
            reason=reason,
            clock=FakeClock(),
        )
    assert [] == state.log
