"""Tensors of the Open Inference Protocol: JSON and binary in, JSON and binary out.

Source: the Open Inference Protocol's REST specification and its binary tensor data extension. Numbers
are little-endian; an element of ``BYTES`` is its length as uint32, then its bytes.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from trimtab.errors import InvalidRequest
from trimtab.schema.values import MAX_EXACT
from trimtab.types import Scalar

NUMPY: dict[str, str] = {
    "BOOL": "?",
    "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
BYTES = "BYTES"
ONE = {
    name: struct.Struct(f"<{code}")
    for name, code in {
        "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q",
        "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
        "FP16": "e", "FP32": "f", "FP64": "d",
    }.items()
}  # fmt: skip
"""One element alone, which is what most tensors of most requests are: the same as NumPy reads, in a tenth of the time."""


def unremarkable(values: Sequence[float]) -> bool:
    """Whether there are some, all finite and below 2^53 in size. A sum beyond all floats has them looked at one by one."""
    if not values or not math.isfinite(sum(values)):
        return False
    return -MAX_EXACT < min(values) and max(values) < MAX_EXACT


_ONE_ROW = frozenset({(1,), (1, 1)})


class Parameters(msgspec.Struct, frozen=True):
    """What the binary extension says of one tensor; others' parameters are ignored."""

    binary_data_size: int | None = None
    binary_data: bool | None = None


class InputTensor(msgspec.Struct, frozen=True):
    """One input as it stands in the JSON part of a request."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: Parameters = Parameters()
    data: list[Any] | None = None


def values(tensor: InputTensor, raw: memoryview | None, path: str) -> list[Scalar]:
    """A tensor's elements, row by row; None where a float is NaN or JSON says null.

    Args:
        tensor: As sent.
        raw: Its binary data, None if they stand in the JSON.
        path: Where the tensor stands, for example ``inputs[0]``.

    Raises:
        InvalidRequest: ``invalid_tensor``, naming what is wrong.
    """
    if raw is not None and tensor.data is None and tensor.shape in _ONE_ROW:
        one = ONE.get(tensor.datatype)
        if one is not None and len(raw) == one.size:
            return [*one.unpack(raw)]
    if tensor.datatype != BYTES and tensor.datatype not in NUMPY:
        raise wrong(
            f"The datatype {tensor.datatype!r} is not known.",
            f"{path}.datatype",
            f"Known are {', '.join([*NUMPY, BYTES])}.",
        )
    if not 1 <= len(tensor.shape) <= 2 or min(tensor.shape) < 0:
        raise wrong(
            f"The shape has {len(tensor.shape)} dimensions, or one that is negative.",
            f"{path}.shape",
            "It is [rows], [rows, 1] or [rows, features].",
        )
    found = _from_json(tensor, path) if raw is None else _from_binary(tensor, raw, path)
    wanted = math.prod(tensor.shape)
    if len(found) != wanted:
        raise wrong(
            f"{len(found):,} elements do not fill the shape {list(tensor.shape)}, which has {wanted:,}.",
            f"{path}.data",
        )
    return found


def wrong(
    message: str, path: str, hint: str = "See the Open Inference Protocol."
) -> InvalidRequest:
    """The error of a tensor that cannot be taken."""
    return InvalidRequest(message, code="invalid_tensor", path=path, hint=hint)


def encoded(datatype: str, elements: Sequence[Any]) -> bytes:
    """Elements as the binary extension writes them."""
    if len(elements) == 1 and (one := ONE.get(datatype)) is not None:
        return one.pack(elements[0])
    if datatype != BYTES:
        return np.asarray(elements, dtype=NUMPY[datatype]).tobytes()
    texts = [str(element).encode() for element in elements]
    return b"".join([part for text in texts for part in (struct.pack("<I", len(text)), text)])


def _from_json(tensor: InputTensor, path: str) -> list[Scalar]:
    if tensor.data is None:
        raise wrong(
            f"The input {tensor.name!r} has neither data nor a binary_data_size.", f"{path}.data"
        )
    found: list[Any] = tensor.data
    for _ in tensor.shape[1:]:
        if not any(type(part) is list for part in found):
            break
        if not all(type(part) is list for part in found):
            raise wrong("Some elements are lists and some are not.", f"{path}.data")
        found = [element for part in found for element in part]
    fits = _FITS[tensor.datatype]
    for at, element in enumerate(found):
        if element is not None and not fits(element):
            raise wrong(
                f"Element {at} is {_shown(element)}, which is no {tensor.datatype}.", f"{path}.data"
            )
    return found


def _from_binary(tensor: InputTensor, raw: memoryview, path: str) -> list[Scalar]:
    if tensor.data is not None:
        raise wrong("Its data stand in the JSON and in the binary part.", f"{path}.data")
    if tensor.datatype == BYTES:
        return _texts(raw, path)
    kind = np.dtype(NUMPY[tensor.datatype])
    if len(raw) % kind.itemsize:
        raise wrong(
            f"{len(raw):,} bytes are no whole number of {tensor.datatype} elements.",
            f"{path}.parameters.binary_data_size",
        )
    if kind.kind == "b" and max(raw, default=0) > 1:
        raise wrong("A BOOL is neither 0 nor 1.", f"{path}.data")
    found: list[Scalar] = np.frombuffer(raw, kind).tolist()
    return found


def _texts(raw: memoryview, path: str) -> list[Scalar]:
    found: list[Scalar] = []
    at = 0
    while at < len(raw):
        end = at + 4
        if end <= len(raw):
            end += int(struct.unpack_from("<I", raw, at)[0])
        if end > len(raw) or end < at + 4:
            raise wrong(f"The BYTES element {len(found)} is cut off.", f"{path}.data")
        try:
            found.append(str(raw[at + 4 : end], "utf-8"))
        except UnicodeDecodeError as bad:
            raise wrong(f"The BYTES element {len(found)} is not UTF-8.", f"{path}.data") from bad
        at = end
    return found


def _whole(datatype: str) -> Any:
    low, high = np.iinfo(NUMPY[datatype]).min, np.iinfo(NUMPY[datatype]).max
    return lambda element: type(element) is int and low <= element <= high


def _fits_float(element: object) -> bool:
    """Whether it is a number that a float can hold; JSON's whole numbers have no bound."""
    return type(element) is float or (
        type(element) is int and element.bit_length() < sys.float_info.max_exp
    )


_FITS: dict[str, Any] = {
    "BOOL": lambda element: type(element) is bool,
    BYTES: lambda element: type(element) is str,
    **{name: _whole(name) for name in NUMPY if "INT" in name},
    **{name: _fits_float for name in NUMPY if "FP" in name},
}


def _shown(element: object) -> str:
    text = repr(element)
    return text if len(text) <= 40 else f"{text[:40]}…"
