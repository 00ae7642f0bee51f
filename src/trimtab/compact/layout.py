"""The file: magic, digest, header, then sections of numbers, each beginning at a multiple of 64.

::

    0   "TRIMTREE"   8 bytes
    8   XXH3-128 of all that follows    16 bytes
    24  version, length of the header   two uint32
    32  header   JSON, padded with blanks
    …   sections   little-endian numbers, where the header says

Sections from ``marks`` on repeat what the nodes say, for ensembles of small trees
(:mod:`trimtab.compact.marks`); they may be missing, and readers that do not know them walk the nodes.

The digest finds damage; it is no signature. Who wrote a file is the registry's business.
"""

from __future__ import annotations

import struct
from typing import Annotated, Any

import msgspec
import numpy as np
import xxhash

from trimtab.compact.links import Link
from trimtab.errors import Refused
from trimtab.types import Array, Record

MAGIC = b"TRIMTREE"
VERSION = 1
ALIGNMENT = 64
_START = struct.Struct("<8s16sII")
_SEALED = 24

SLOT = np.dtype(
    [("feature", "<u4"), ("how", "<u4"), ("start", "<u4"), ("count", "<u4"), ("words", "<u4")]
)
SECTIONS: dict[str, np.dtype[Any]] = {
    "nodes": np.dtype("<u8"),
    "roots": np.dtype("<i8"),
    "tree_columns": np.dtype("<u4"),
    "slots": SLOT,
    "thresholds": np.dtype("<f8"),
    "leaves": np.dtype("<f8"),
    "pairs": np.dtype("<u4"),
    "sets": np.dtype("<u4"),
    "base": np.dtype("<f8"),
    "marks": np.dtype("<u4"),
    "list_starts": np.dtype("<u4"),
    "list_codes": np.dtype("<u4"),
    "list_trees": np.dtype("<u2"),
    "list_marks": np.dtype("<u4"),
    "tree_starts": np.dtype("<u4"),
    "tree_leaves": np.dtype("<u4"),
    "byte_slots": np.dtype("u1"),
    "byte_codes": np.dtype("u1"),
    "byte_starts": np.dtype("<u4"),
    "byte_table": np.dtype("<u4"),
    "heap_leaves": np.dtype("<u4"),
}

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
Bits = Annotated[int, msgspec.Meta(ge=0, le=32)]


class Header(Record, frozen=True, forbid_unknown_fields=True):
    """What the sections mean.

    A node is ``slot | code | turned | near is leaf | far is leaf | reference``, lowest bits first;
    ``slot_bits`` and ``code_bits`` are the widths of the first two, the reference takes the rest.
    ``leaf_bits`` is the width of a leaf in a node with two leaves, 0 if such nodes refer to
    ``pairs``. ``width`` is how many values a leaf has. ``sections`` are ``(offset, bytes)``.
    """

    features: Annotated[int, msgspec.Meta(ge=1, lt=2**27)]
    width: Annotated[int, msgspec.Meta(ge=1, lt=2**24)]
    divisor: Annotated[int, msgspec.Meta(ge=1, lt=2**32)]
    link: Link
    link_scale: float
    groups: tuple[Count, ...]
    float32_input: bool
    float32_integers: bool
    float32_sums: bool
    tiny_is_zero: bool
    direct: bool
    slot_bits: Bits
    code_bits: Bits
    leaf_bits: Bits
    first_categorical: Count
    sections: dict[str, tuple[Count, Annotated[int, msgspec.Meta(ge=0, lt=2**48)]]]


def written(header: Header, parts: dict[str, Array]) -> bytes:
    """The file; the header's ``sections`` are filled in here, and ``parts`` are emptied on the way."""
    places = dict.fromkeys(parts, (2**31, 2**47))
    room = len(msgspec.json.encode(msgspec.structs.replace(header, sections=places)))
    start = _aligned(_START.size + room)
    offset = start
    for name, part in parts.items():
        # Offsets count in units of the alignment, so that 32 bits reach far enough.
        places[name] = (offset // ALIGNMENT, part.nbytes)
        offset = _aligned(offset + part.nbytes)
    text = msgspec.json.encode(msgspec.structs.replace(header, sections=places))
    data = bytearray(offset)
    data[_START.size : start] = text.ljust(start - _START.size)
    for name in list(parts):
        part = parts.pop(name)
        begin = places[name][0] * ALIGNMENT
        stored = np.ascontiguousarray(part, SECTIONS[name])
        data[begin : begin + part.nbytes] = stored.reshape(-1).view(np.uint8).data
    _START.pack_into(data, 0, MAGIC, b"", VERSION, start - _START.size)
    data[len(MAGIC) : _SEALED] = xxhash.xxh3_128_digest(memoryview(data)[_SEALED:])
    return bytes(data)


def read(data: memoryview, *, verified: bool = False) -> tuple[Header, dict[str, Array]]:
    """The header and the sections of a file; nothing is copied.

    Its digest is checked here, unless the bytes are ``verified`` by another already.

    Raises:
        Refused: this is no such file, it is damaged, or written by a newer version.
    """
    if len(data) < _START.size:
        raise _damaged(f"it has {len(data)} bytes")
    magic, digest, version, length = _START.unpack_from(data)
    if magic != MAGIC:
        raise _damaged("it does not begin as one")
    if version != VERSION:
        raise Refused(
            f"The compact forest has format version {version}; this release reads {VERSION}.",
            code="unknown_format_version",
            hint="Convert the model again with this release.",
        )
    if not verified and digest != xxhash.xxh3_128_digest(data[_SEALED:]):
        raise _damaged("its digest does not match its content")
    try:
        header = msgspec.json.decode(data[_START.size : _START.size + length], type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(f"its header cannot be read: {error}") from error
    return header, {name: _section(data, header, name) for name in SECTIONS}


def _section(data: memoryview, header: Header, name: str) -> Array:
    kind = SECTIONS[name]
    offset, size = header.sections.get(name, (0, 0))
    begin = offset * ALIGNMENT
    if begin + size > len(data) or size % kind.itemsize:
        raise _damaged(f"its section {name} does not lie in the file")
    return np.frombuffer(data[begin : begin + size], kind)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def _damaged(why: str) -> Refused:
    return Refused(
        f"This is no compact forest that can be used: {why}.",
        code="damaged_artifact",
        hint="Convert the model again, or fetch the file again.",
    )
