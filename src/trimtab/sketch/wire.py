"""Sketches, and records that hold them, as bytes."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import numpy as np

from trimtab.types import Array

T = TypeVar("T")


def to_bytes(record: Any) -> bytes:
    """A record that may hold sketches as MessagePack; equal content gives equal bytes."""
    return msgspec.msgpack.encode(record, enc_hook=_array_out, order="deterministic")


def from_bytes(blob: bytes, kind: type[T]) -> T:
    """The record that ``to_bytes`` wrote.

    Raises:
        msgspec.ValidationError: the bytes are of something else.
    """
    return msgspec.msgpack.decode(blob, type=kind, dec_hook=_array_in)


def _array_out(array: object) -> object:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{type(array).__name__} has no place in a sketch.")
    if array.dtype == np.float64:
        return ["<f8", array.shape, array.astype("<f8").tobytes()]
    largest = np.abs(array).max(initial=0)
    code = "<i4" if largest < 2**31 else "<i8"
    return [code, array.shape, array.astype(code).tobytes()]


def _array_in(kind: type, stored: Any) -> Array:  # noqa: ARG001 - what msgspec hands over
    code, shape, raw = stored
    wide = np.float64 if code == "<f8" else np.int64
    return np.frombuffer(raw, dtype=code).astype(wide).reshape(shape)
