"""Digests of files: SHA-256, and BLAKE3 of what every worker reads whole before it maps it."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from pathlib import Path
from typing import Any

from blake3 import blake3

SHA256, BLAKE3 = "sha256", "blake3"
_DIGEST = re.compile(r"(sha256|blake3):([0-9a-f]{64})")


def hasher(kind: str) -> Any:
    """What takes bytes by ``update`` and tells their ``hexdigest``."""
    return blake3() if kind == BLAKE3 else hashlib.sha256()


def digest_of(path: Path, kind: str = SHA256) -> str:
    """``sha256:<hex>`` or ``blake3:<hex>`` over a file's bytes.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        return f"{kind}:{hashlib.file_digest(file, partial(hasher, kind)).hexdigest()}"


def parts(digest: str) -> tuple[str, str] | None:
    """Kind and hexadecimal digits; None if it is no digest.

    >>> parts("md5:00") is None
    True
    """
    match = _DIGEST.fullmatch(digest)
    return None if match is None else (match[1], match[2])
