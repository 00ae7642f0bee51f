"""Routing key to slot, and routing key to unit: the pinned hashes.

Source: Yann Collet, xxHash (XXH3, 64 bits). Golden values, uniformity and independence between salts
are tested in ``tests/property/test_law_routing.py``.
"""

from __future__ import annotations

from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from trimtab.errors import Conflict, InvalidRow
from trimtab.types import Route

SLOTS = 10_000
HASH_NAME = "xxh3_64/multiply-shift/1"
UNIT_DOMAIN = "trimtab.unit:"


def slot(salt: str, key: str) -> int:
    """The slot of a routing key: ``xxh3_64(f"{salt}:{key}") * 10000 >> 64``.

    Args:
        salt: The rollout's salt; the same for a whole ramp, new for the next rollout.
        key: The routing key.

    Returns:
        A slot in [0, 10000), the same in every process, on every machine.

    Raises:
        InvalidRow: the key is no valid Unicode text.

    Example:
        >>> slot("salt", "user-1")
        6142
    """
    try:
        return (xxh3_64_intdigest(f"{salt}:{key}".encode()) * SLOTS) >> 64
    except UnicodeEncodeError as wrong:
        raise _no_text(key) from wrong


def unit_hash(key: str) -> str:
    """The unit of a routing key, as journalled: keys are personal data, so only a hash is kept.

    Returns:
        16 hex digits, independent of every rollout's slots.

    Raises:
        InvalidRow: the key is no valid Unicode text.
    """
    try:
        return xxh3_64_hexdigest((UNIT_DOMAIN + key).encode())
    except UnicodeEncodeError as wrong:
        raise _no_text(key) from wrong


def check_hash(route: Route) -> None:
    """Refuse a route whose slots belong to another hash: its users would change arms.

    Raises:
        Conflict: this release does not know the hash.
    """
    if route.hash_name != HASH_NAME:
        raise Conflict(
            f"The route of {route.model!r} was made for the hash {route.hash_name!r}, "
            f"and this release only knows {HASH_NAME!r}.",
            code="unknown_hash",
            hint="Serve it with the release that wrote it, or roll back first.",
        )


def _no_text(key: str) -> InvalidRow:
    return InvalidRow(
        f"The routing key {key!r} is no valid Unicode text.",
        code="invalid_key",
        path="key",
        hint="Send a key that UTF-8 can encode.",
    )
