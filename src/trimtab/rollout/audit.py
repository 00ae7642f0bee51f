"""The audit log: who did what, when and why, each line bound to the one before by a hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from trimtab.errors import InvalidInput
from trimtab.protocols import AuditTx, Clock
from trimtab.types import AuditEntry

GENESIS = "0" * 64
SYSTEM = "trimtab"
"""The actor of what Trimtab does by itself."""


def append(
    log: AuditTx,
    *,
    actor: str,
    action: str,
    model: str,
    detail: Mapping[str, Any],
    reason: str,
    clock: Clock,
) -> AuditEntry:
    """Write one line, within the transaction of what it tells.

    Args:
        log: The log within that transaction.
        actor: Who; ``SYSTEM`` for what Trimtab does by itself.
        action: What, for example ``roll_back``.
        model: Of which model.
        detail: Anything that JSON can hold.
        reason: Why, in words.
        clock: Wall time.

    Raises:
        InvalidInput: nobody is named, or no reason is given.
    """
    require(actor, reason)
    last = log.last()
    entry = AuditEntry(
        seq=1 if last is None else last.seq + 1,
        at=clock.now(),
        actor=actor.strip(),
        action=action,
        model=model,
        detail=msgspec.json.decode(msgspec.json.encode(dict(detail))),
        reason=reason.strip(),
        previous=GENESIS if last is None else last.hash,
        hash="",
    )
    entry = msgspec.structs.replace(entry, hash=digest(entry))
    log.add(entry)
    return entry


def require(actor: str, reason: str) -> None:
    """Refuse a change that nobody answers for.

    Raises:
        InvalidInput: the actor or the reason is blank.
    """
    for name, value in (("actor", actor), ("reason", reason)):
        if not value.strip():
            raise InvalidInput(
                f"A change needs {'an' if name == 'actor' else 'a'} {name}.",
                code=f"{name}_required",
                path=name,
                hint="It is kept in the audit log: say who changes it, and why.",
            )


def digest(entry: AuditEntry) -> str:
    """The SHA-256 of an entry's canonical JSON (keys sorted, without its own hash), 64 hex digits."""
    told = msgspec.structs.asdict(entry)
    del told["hash"]
    return sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()


def verify(entries: Sequence[AuditEntry]) -> int | None:
    """The first entry that was changed, or does not follow on the one before; None if all hold.

    Entries that were cut off at the end leave no trace here: compare the last hash with one that was
    noted elsewhere.

    Args:
        entries: Consecutive entries of all models, oldest first; they may start anywhere.
    """
    previous = GENESIS if entries and entries[0].seq == 1 else None
    seq = None
    for entry in entries:
        follows = previous in (None, entry.previous) and seq in (None, entry.seq - 1)
        if not follows or digest(entry) != entry.hash:
            return entry.seq
        previous, seq = entry.hash, entry.seq
    return None
