"""Small stand-ins that keep everything in memory or in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from trimtab.digests import SHA256, digest_of
from trimtab.errors import NotFound, Refused
from trimtab.protocols import StateTx
from trimtab.types import Alias, PredictionRecord, Version


class FakeClock:
    """Time that moves only when told; a :class:`~trimtab.protocols.Clock`."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        """Unix seconds, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic += seconds


class MemoryJournal:
    """Keeps records in a list; a :class:`~trimtab.protocols.JournalWriter`.

    Args:
        error: Raised by every append while it is set.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.records: list[PredictionRecord] = []
        self.error = error
        self.closed = False

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Keep the records, all or none."""
        if self.error is not None:
            raise self.error
        self.records.extend(records)

    def put(self, records: Sequence[PredictionRecord], *, last: bool = False) -> None:
        """As ``append``; there is nothing to wait for."""
        del last
        self.append(records)

    def close(self) -> None:
        """Close; idempotent."""
        self.closed = True


class MemoryRegistry:
    """Versions and aliases in dictionaries; a :class:`~trimtab.protocols.RegistryTx`."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, Version]] = {}
        self._aliases: dict[tuple[str, str], Alias] = {}

    def add_version(self, version: Version) -> None:
        """Keep a version."""
        self._versions.setdefault(version.model, {})[version.version] = version

    def next_version(self, model: str) -> int:
        """One more than the highest version."""
        return max(self._versions.get(model, {}), default=0) + 1

    def version(self, model: str, version: int) -> Version | None:
        """A version, or None."""
        return self._versions.get(model, {}).get(version)

    def versions(self, model: str) -> Sequence[Version]:
        """All versions of a model, oldest first."""
        return list(self._versions.get(model, {}).values())

    def models(self) -> Sequence[str]:
        """The names of all models, sorted."""
        return sorted(self._versions)

    def set_alias(self, alias: Alias) -> None:
        """Keep or move an alias."""
        self._aliases[alias.model, alias.alias] = alias

    def aliases(self, model: str) -> Sequence[Alias]:
        """The aliases of a model."""
        return [alias for (owner, _), alias in self._aliases.items() if owner == model]


class RegistryState:
    """A state store of which only the registry is there; nothing rolls back."""

    def __init__(self) -> None:
        self._tx = cast("StateTx", SimpleNamespace(registry=MemoryRegistry()))

    @contextmanager
    def transaction(self) -> Iterator[StateTx]:
        """A transaction for writing."""
        yield self._tx

    @contextmanager
    def reading(self) -> Iterator[StateTx]:
        """A transaction for reading."""
        yield self._tx

    def epoch(self) -> int:
        """Nothing ever changes."""
        return 0

    def listen(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` once, as after a connection is made; there is nothing to stop."""
        changed()
        return lambda: None

    def close(self) -> None:
        """Release nothing; idempotent."""


class FolderBlobs:
    """Bytes by digest as plain files in a folder; a :class:`~trimtab.protocols.BlobStore`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, source: Path, kind: str = SHA256) -> tuple[str, int]:
        """Keep a file's bytes; digest and size."""
        digest = digest_of(source, kind)
        shutil.copyfile(source, self.path(digest))
        return digest, source.stat().st_size

    def fetch(self, digest: str) -> Path:
        """The file with those bytes, verified."""
        path = self.path(digest)
        if not path.is_file():
            raise NotFound(f"There is no blob {digest}.")
        if digest_of(path, digest.partition(":")[0]) != digest:
            raise Refused(f"The bytes of {digest} have been changed.", code="digest_mismatch")
        return path

    def path(self, digest: str) -> Path:
        """Where a blob lies, so that a test can tamper with it."""
        return self.folder / digest.partition(":")[2]
