"""What a batch job is to do, and the manifest of what it has done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from trimtab.errors import InvalidPlan, Unavailable
from trimtab.types import Record

MANIFEST = "manifest.json"
_BLOCK = 1 << 20


class BatchPlan(Record, frozen=True):
    """Score every row of ``input`` into Parquet parts in the directory ``output``.

    ``input`` is a ``.parquet``, ``.csv`` or ``.jsonl`` file. ``version`` is pinned when the job is
    planned, so that a restart after a promotion gives what one go would have; ``alias`` only says how
    it was chosen. A part has ``chunk_rows`` rows. ``key`` and ``event_time`` name the input's columns
    of routing keys and of times (timestamps, or Unix seconds); ``passthrough`` names columns that are
    copied to the output.
    """

    input: str
    output: str
    model: str
    version: int
    alias: str = ""
    chunk_rows: int = 10_000
    key: str = ""
    event_time: str = ""
    passthrough: tuple[str, ...] = ()


class Part(Record, frozen=True):
    """One finished file: rows ``[first_row, first_row + rows)`` of the input."""

    file: str
    first_row: int
    rows: int
    size_bytes: int
    digest: str


class Manifest(Record, frozen=True):
    """What a job has done. ``job`` names plan and input; prediction ids are ``<job>-<row>``."""

    job: str
    plan: BatchPlan
    input_digest: str
    rows: int
    parts: tuple[Part, ...] = ()
    state: Literal["running", "done"] = "running"

    @property
    def rows_done(self) -> int:
        """How many rows the finished parts have."""
        return sum(part.rows for part in self.parts)


def job_of(plan: BatchPlan, input_digest: str) -> str:
    """16 hex digits that are the same for the same work, wherever its files lie."""
    work = msgspec.structs.replace(plan, input=input_digest, output="", alias="")
    return hashlib.sha256(msgspec.json.encode(work)).hexdigest()[:16]


def digest_of(path: Path) -> str:
    """``sha256:<hex>`` of a file's bytes."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return f"sha256:{found.hexdigest()}"


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest in a directory, if there is one.

    Raises:
        InvalidPlan: there is one that cannot be read.
    """
    path = directory / MANIFEST
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as wrong:
        raise InvalidPlan(
            f"{str(path)!r} is no manifest of a batch job: {wrong}.",
            code="damaged_manifest",
            hint="Choose another output directory, or start anew with --force.",
        ) from wrong


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Replace the manifest; a reader finds the old one or the new one, never half of it."""
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    replace_file(directory / MANIFEST, lambda path: path.write_bytes(body))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, sync it, move it there, sync the directory.

    Raises:
        Unavailable: the disk refuses.
    """
    beside = path.with_name(f".{path.name}.tmp")
    try:
        write(beside)
        _sync(beside)
        beside.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise Unavailable(
            f"{str(path)!r} cannot be written: {error.strerror or error}.",
            code="output_unavailable",
            hint="Make room and run the job again: finished parts are kept.",
        ) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
