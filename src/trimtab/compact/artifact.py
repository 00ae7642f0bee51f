"""The compact artifact: row programs, estimators and forests in one file, read by memory map.

::

    magic 8 bytes | length of the manifest, 8 bytes | manifest, MessagePack | padding
    section 0 | padding | section 1 | …

Sections are forests in their own format, each at a multiple of 4,096 bytes, so that all processes of
a host share their pages. The manifest is decoded into typed records and every number in it is
checked against what it points at; a file that was cut or changed is refused, and nothing in a file
can run. The registry checks the digest before any of this.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from trimtab.compact.answer import Answer, Binder
from trimtab.compact.forest import Forest
from trimtab.compact.nodes import Node
from trimtab.compact.program import Program, numbers, read_numbers
from trimtab.errors import Refused
from trimtab.types import (
    Array,
    Certificate,
    Columns,
    FeatureKind,
    FeatureSpec,
    FloatArray,
    Record,
)

MAGIC = b"\x93TRIMTB1"
ALIGN = 4096
MAX_MANIFEST_BYTES = 1 << 31


class Section(Record, frozen=True):
    """Where a forest stands in the file, in bytes from its beginning."""

    offset: int
    size: int


class Column(Record, frozen=True):
    """One column of the probe rows: numbers, or words with None for missing."""

    numbers: bytes = b""
    words: tuple[str | None, ...] = ()


class Probe(Record, frozen=True):
    """Rows with what the original answered for them, of shape ``(rows, outputs)``.

    ``tolerance`` is how far an answer may be from the original's: another processor's library may
    add numbers in another order.
    """

    rows: int
    columns: tuple[Column, ...] = ()
    expected: bytes = b""
    tolerance: float = 0.0


class Manifest(Record, frozen=True):
    """What the file holds.

    ``made_with`` are versions of libraries by name; ``certificate`` says how it differs from its original.
    """

    features: tuple[FeatureSpec, ...]
    outputs: int
    programs: tuple[Program, ...]
    node: Node
    probe: Probe
    sections: tuple[Section, ...] = ()
    made_with: dict[str, str] = msgspec.field(default_factory=dict)
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A compact model that is not written yet; ``packed`` are its forests as files' bytes."""

    features: tuple[FeatureSpec, ...]
    outputs: int
    programs: tuple[Program, ...]
    node: Node
    probe: Probe
    packed: tuple[bytes, ...] = ()
    made_with: tuple[tuple[str, str], ...] = ()
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Fronted:
    """A compact model behind native steps: a fitted transformer, whose matrix is what it takes."""

    front: object
    draft: Draft


def matrix_features(width: int) -> tuple[FeatureSpec, ...]:
    """The features of a compact model that is given a matrix."""
    return tuple(
        FeatureSpec(name=str(place), kind=FeatureKind.NUMERIC, nullable=True)
        for place in range(width)
    )


def write(draft: Draft, path: Path) -> None:
    """Write an artifact."""
    sections: list[Section] = []
    blank = _manifest(draft, [Section(offset=0, size=len(data)) for data in draft.packed])
    # Offsets are wider than the zeros they replace; a page more leaves room for that.
    place = _aligned(len(MAGIC) + 8 + len(blank) + ALIGN)
    for data in draft.packed:
        sections.append(Section(offset=place, size=len(data)))
        place = _aligned(place + len(data))
    manifest = _manifest(draft, sections)
    with path.open("wb") as file:
        file.write(MAGIC + len(manifest).to_bytes(8, "little") + manifest)
        for section, data in zip(sections, draft.packed, strict=True):
            file.seek(section.offset)
            file.write(data)


def _manifest(draft: Draft, sections: Sequence[Section]) -> bytes:
    return msgspec.msgpack.encode(
        Manifest(
            features=draft.features,
            outputs=draft.outputs,
            programs=draft.programs,
            node=draft.node,
            probe=draft.probe,
            sections=tuple(sections),
            made_with=dict(draft.made_with),
            certificate=draft.certificate,
        )
    )


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def known(path: Path) -> bool:
    """Whether a file begins as an artifact does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class CompactModel:
    """An opened artifact; a :class:`~trimtab.protocols.Predictor`.

    Args:
        manifest: What the file says.
        forests: Its forests, opened.

    Raises:
        Refused: the manifest does not fit together.
    """

    def __init__(self, manifest: Manifest, forests: Sequence[Forest]) -> None:
        self.manifest = manifest
        self.forests = tuple(forests)
        text = [spec.kind is FeatureKind.CATEGORICAL for spec in manifest.features]
        self._answer: Answer
        binder = Binder(manifest.programs, forests, text)
        self._answer, outputs = binder.bind(manifest.node)
        self.one = binder.one(manifest.node)
        """Answers one row of values in the manifest's order; None where that is no shorter way."""
        self.many = binder.many(manifest.node)
        """Answers rows of values, each as ``one`` does; None where there is no ``one``."""
        if outputs != manifest.outputs:
            raise _malformed(f"{outputs} outputs where {manifest.outputs} are named")

    def predict(self, columns: Columns) -> FloatArray:
        """Score rows; shape ``(rows, outputs)``."""
        return self._answer(columns.arrays, columns.rows)

    def differs(self) -> float | None:
        """The largest difference from what the original answered for the probe rows.

        None where all are within the tolerance.

        Raises:
            Refused: the probe rows do not fit the features.
        """
        probe = self.manifest.probe
        if not probe.rows:
            return None
        expected = read_numbers(probe.expected)
        if len(expected) != probe.rows * self.manifest.outputs:
            raise _malformed("the probe's answers")
        answer = self.predict(_columns(self.manifest.features, probe))
        apart = np.abs(answer - expected.reshape(probe.rows, -1)).max()
        return None if apart <= probe.tolerance else float(apart)


def probe_of(columns: Columns, expected: FloatArray, tolerance: float) -> Probe:
    """Probe rows with what the original answers for them."""
    return Probe(
        rows=columns.rows,
        columns=tuple(
            Column(words=tuple(array.tolist()))
            if spec.kind is FeatureKind.CATEGORICAL
            else Column(numbers=numbers(array))
            for spec, array in zip(columns.features, columns.arrays, strict=True)
        ),
        expected=numbers(expected),
        tolerance=tolerance,
    )


def _columns(features: tuple[FeatureSpec, ...], probe: Probe) -> Columns:
    arrays: list[Array] = []
    if len(probe.columns) != len(features):
        raise _malformed("the probe's columns")
    for spec, column in zip(features, probe.columns, strict=True):
        if spec.kind is FeatureKind.CATEGORICAL:
            array: Array = np.empty(len(column.words), dtype=object)
            array[:] = column.words
        else:
            array = read_numbers(column.numbers)
        if len(array) != probe.rows:
            raise _malformed("the length of the probe's columns")
        arrays.append(array)
    return Columns(features=features, arrays=tuple(arrays))


def read(path: Path, start: int = 0) -> CompactModel:
    """Open an artifact by memory map.

    Args:
        path: The file; its digest has been checked.
        start: Where in the file the artifact begins, a multiple of 4,096 bytes.

    Raises:
        Refused: it is no artifact, or was cut or changed.
    """
    with path.open("rb") as file:
        file.seek(start)
        head = file.read(len(MAGIC) + 8)
        if len(head) < len(MAGIC) + 8 or not head.startswith(MAGIC):
            raise _malformed("its beginning")
        length = int.from_bytes(head[len(MAGIC) :], "little")
        if length > MAX_MANIFEST_BYTES:
            raise _malformed("the length of its manifest")
        data = file.read(length)
        if len(data) < length:
            raise _malformed("its manifest, which is cut off,")
        try:
            manifest = msgspec.msgpack.decode(data, type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
            raise _malformed(f"its manifest ({wrong})") from wrong
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start:]
    forests = [Forest(_piece(whole, each), verified=True) for each in manifest.sections]
    return CompactModel(manifest, forests)


def _piece(whole: memoryview, section: Section) -> memoryview:
    end = section.offset + section.size
    if section.offset < 0 or section.size < 0 or end > len(whole) or section.offset % ALIGN:
        raise _malformed("a section")
    return whole[section.offset : end]


def _malformed(what: str) -> Refused:
    return Refused(
        f"The compact artifact is malformed: {what} cannot be.",
        hint="Register the model again.",
        code="artifact_malformed",
    )
