"""Features in one LMDB file: an embedded online store that is read through a memory map.

Reads run on the event loop: they copy a row from a map of the file, and never wait for a writer.
Writes wait for their turn in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

import lmdb
from xxhash import xxh3_128_hexdigest

from trimtab.config import Count, Section, StoreConfig, convert
from trimtab.features.stores.embedded import explained, file_of, read_in_pieces
from trimtab.features.stores.packed import pack, time_of, unpack_all
from trimtab.protocols import Clock
from trimtab.types import StoredRow

_CHUNK = 256
_LONGEST_KEY_BYTES = 400


class LmdbOptions(Section, frozen=True):
    """What ``[features.stores.<name>.options]`` may say.

    The file can grow to ``map_bytes``, of which only what is used takes space; ``readers`` bounds the
    processes and threads that read at one moment.
    """

    map_bytes: Count = 64 * 1024**3
    readers: Count = 512


def create(config: StoreConfig, state_dir: Path, clock: Clock) -> LmdbStore:  # noqa: ARG001 - every store's form
    """The store in the file ``url``, or in ``features.lmdb`` of the state directory.

    Raises:
        InvalidConfig: an option cannot be used.
    """
    path = file_of(config, state_dir, "features.lmdb")
    return LmdbStore(path, convert(config.options, LmdbOptions))


class LmdbStore:
    """Rows under the keys ``<view>:<entity>``, shared by all processes of this machine.

    Args:
        path: The file; it and its folder are created.
        options: Its bounds.

    Raises:
        Unavailable: the file cannot be opened, or is no LMDB file.
    """

    def __init__(self, path: Path, options: LmdbOptions) -> None:
        self._explained = partial(explained, path, "an LMDB", lmdb.Error)
        self._leads: dict[str, bytes] = {}
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            # A write that a power cut takes is written again by whoever pushes or materialises.
            self._file = lmdb.open(
                str(path),
                subdir=False,
                map_size=options.map_bytes,
                max_readers=options.readers,
                metasync=False,
                readahead=False,
            )

    def read_now(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that exist, in order; it never waits for a lock."""
        lead = self._lead(view)
        with self._explained(), self._file.begin() as reading:
            blobs = [reading.get(_key(lead, entity)) for entity in entities]
        return unpack_all(entities, blobs)

    async def read(self, view: str, entities: Sequence[str]) -> Mapping[str, StoredRow]:
        """The rows of those entities that exist, in order; lets others run between many."""
        return await read_in_pieces(self.read_now, view, entities, _CHUNK)

    async def write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        """Keep rows unless a newer event is there already, all in one transaction."""
        return await asyncio.to_thread(self._write, view, dict(rows))

    async def ping(self) -> None:
        """Return if the file can be read.

        Raises:
            Unavailable: it cannot.
        """
        with self._explained():
            self._file.stat()

    async def close(self) -> None:
        """Release the file; idempotent."""
        self._file.close()

    def _write(self, view: str, rows: Mapping[str, StoredRow]) -> int:
        lead = self._lead(view)
        kept = 0
        with self._explained(), self._file.begin(write=True) as writing:
            for entity, row in rows.items():
                key = _key(lead, entity)
                held = writing.get(key)
                if held is None or time_of(held) <= row.event_time:
                    writing.put(key, pack(row))
                    kept += 1
        return kept

    def _lead(self, view: str) -> bytes:
        lead = self._leads.get(view)
        if lead is None:
            lead = self._leads[view] = f"{quote(view, safe='')}:".encode()
        return lead


def _key(lead: bytes, entity: str) -> bytes:
    """View and entity as a key; what is too long for LMDB is named by its hash."""
    key = lead + entity.encode()
    if len(key) <= _LONGEST_KEY_BYTES:
        return key
    return b"\x00" + xxh3_128_hexdigest(key).encode()
