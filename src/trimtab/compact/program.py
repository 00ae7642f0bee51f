"""A row program: preprocessing as a list of plain operations, without any code in it.

A program reads columns and fills *registers*, each a column of ``float64``; its output is a choice of
registers, in order. Text and other categories are turned into *codes* by a dictionary first, and codes
into numbers by a table. What no key names has a code of its own, and so has a missing value; code -1
refuses the row.

Arrays are bytes: little-endian ``float64`` for numbers, ``int32`` for places and codes.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from trimtab.types import Array, Record

REFUSED = -1
"""The code of a value that the original refuses."""


class Load(Record, frozen=True, tag="load"):
    """Copies numeric columns into registers from ``first`` on; ``sources`` are their places."""

    first: int
    sources: bytes


class Step(Record, frozen=True, tag="step"):
    """Changes the registers from ``first`` to ``last`` (excluded) in place.

    ``parameters`` are arrays of one number for each register; of a step named ``bins`` they are the
    inner edges of each register, in order.
    """

    first: int
    last: int
    name: str
    parameters: tuple[bytes, ...] = ()


class Times(Record, frozen=True, tag="times"):
    """Multiplies the registers at ``left`` and ``right`` into those from ``first`` on."""

    first: int
    left: bytes
    right: bytes


class Codes(Record, frozen=True, tag="codes"):
    """Turns a column into codes, kept in ``slot``.

    ``source`` is the column's place, or -1 where ``register`` holds it. ``words`` are the keys of text,
    ``numbers`` those of numbers in rising order; key ``i`` has code ``codes[i]``.
    """

    slot: int
    source: int
    codes: bytes
    missing: int
    unknown: int
    register: int = -1
    words: tuple[str, ...] = ()
    numbers: bytes = b""


class Table(Record, frozen=True, tag="table"):
    """Writes row ``code`` of ``values``, shape ``(codes, width)``, into registers from ``first`` on."""

    first: int
    slot: int
    width: int
    values: bytes


class Hot(Record, frozen=True, tag="hot"):
    """One-hot: registers from ``first`` on hold ``off``, but number ``places[code]`` holds ``on[code]``.

    A place of -1 leaves all of them off.
    """

    first: int
    slot: int
    off: bytes
    places: bytes
    on: bytes


Operation = Load | Step | Times | Codes | Table | Hot


class Program(Record, frozen=True):
    """Operations in order; ``output`` are the registers of the result's columns."""

    registers: int
    operations: tuple[Operation, ...]
    output: bytes


def numbers(values: Any) -> bytes:
    """Little-endian ``float64``."""
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def places(values: Any) -> bytes:
    """Little-endian ``int32``."""
    return np.ascontiguousarray(values, dtype="<i4").tobytes()


def read_numbers(data: bytes) -> Array:
    """The array that :func:`numbers` wrote."""
    return np.frombuffer(data, dtype="<f8")


def read_places(data: bytes) -> Array:
    """The array that :func:`places` wrote."""
    return np.frombuffer(data, dtype="<i4")


def encode(program: Program) -> bytes:
    """The program as MessagePack."""
    return msgspec.msgpack.encode(program)
