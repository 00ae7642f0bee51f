"""Infer requests that differ in their numbers alone: what stands before the numbers is read once.

A client that asks for one row again and again sends the same names, shapes and datatypes each time, and then
the raw contents, which come last. Where these are numbers, their place follows from what stands before them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from trimtab.serve.rpc.messages import message
from trimtab.serve.v2.request import Asked
from trimtab.serve.v2.tensors import ONE, unremarkable
from trimtab.types import FeatureKind, PlainRow, PredictRequest, RowRequest, Scalar, Signature

MOST_HEADS = 64
LONGEST_HEAD = 65_536

_read = message("ModelInferRequest").FromString
_NOTHING = PredictRequest(rows=())
_FLOATS = frozenset({"FP32", "FP64"})
_RAW = b"\x3a"
"""The tag of ``raw_input_contents``, field 7, before each length. Source: Protocol Buffers' encoding."""


class Head(msgspec.Struct, frozen=True):
    """All of a request but its numbers: of which feature each is, how they stand there, and what is asked for."""

    model_name: str
    model_version: str
    signature: Signature
    names: tuple[str, ...]
    contents: struct.Struct
    between: tuple[bytes, ...]
    wanted: Asked
    """The outputs that are asked for, of no row."""

    order: tuple[int, ...] | None
    """Where each feature of the signature stands, if all of them are there and all are floats."""

    def row(self, values: Sequence[Any], arrived: float) -> PlainRow | None:
        """The row of a request with these numbers, if none of them needs a closer look."""
        if self.order is None or not unremarkable(values):
            return None
        return PlainRow(tuple([values[at] for at in self.order]), None, arrived)

    def asked(
        self, values: Sequence[Scalar], version: int | None, named: str | None = None
    ) -> Asked:
        """What a request with these numbers asks, under a prediction id that was given out for it."""
        row = RowRequest(features=dict(zip(self.names, values, strict=True)), prediction_id=named)
        request = PredictRequest(rows=(row,), version=version)
        return Asked(request, self.wanted.outputs, binary=False)


class Sent(msgspec.Struct, frozen=True):
    """A request: a message, or the numbers behind a known head."""

    body: bytes
    model_name: str
    model_version: str
    head: Head | None = None
    values: tuple[Scalar, ...] = ()
    message: Any = None

    def whole(self) -> Any:
        """All of it as a message."""
        return self.message or _read(self.body)


class Heads:
    """Knows heads by their bytes."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}
        self._sizes: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self._known)

    def read(self, body: bytes) -> Sent:
        """A request from its bytes.

        Raises:
            DecodeError: they are none.
        """
        for size in self._sizes:
            head = self._known.get(body[:-size])
            if head is not None:
                found = head.contents.unpack_from(body, len(body) - size)
                if found[0::2] == head.between:
                    values = found[1::2]
                    return Sent(body, head.model_name, head.model_version, head, values)
        sent = _read(body)
        return Sent(body, sent.model_name, sent.model_version, message=sent)

    def keep(self, sent: Sent, asked: Asked, signature: Signature) -> None:
        """Know the head of a request from now on, if all else of it are numbers of one row's features.

        Args:
            sent: What was read whole.
            asked: What it was found to ask.
            signature: Of the model that it is for.
        """
        whole, row = sent.whole(), asked.request.rows[0]
        names, tensors, raw = tuple(row.features), whole.inputs, whole.raw_input_contents
        kinds = {spec.kind for spec in signature.features}
        if (
            whole.id
            or whole.parameters
            or not (len(asked.request.rows) == 1 and len(names) == len(tensors) == len(raw))
            or names != tuple(tensor.name for tensor in tensors)
            or not ONE.keys() >= {tensor.datatype for tensor in tensors}
            or not kinds <= {FeatureKind.NUMERIC, FeatureKind.INTEGER}
        ):
            return
        floats = kinds == {FeatureKind.NUMERIC} and {t.datatype for t in tensors} <= _FLOATS
        plain = floats and set(names) == set(signature.names)
        order = tuple(map(names.index, signature.names)) if plain else None
        wanted = Asked(_NOTHING, asked.outputs, binary=False)
        each = [ONE[tensor.datatype] for tensor in tensors]
        between = tuple(_RAW + bytes([one.size]) for one in each)
        contents = struct.Struct("<" + "".join(f"2s{one.format[1:]}" for one in each))
        end = len(sent.body) - contents.size
        before = sent.body[:end]
        # Messages may be cut between fields: what is read alone as all but its contents ends there.
        if not 0 < end <= LONGEST_HEAD or contents.unpack_from(sent.body, end)[0::2] != between:
            return
        try:
            alone = _read(before)
        except DecodeError:
            return
        if alone.raw_input_contents or list(alone.inputs) != list(tensors):
            return
        if len(self._known) >= MOST_HEADS:
            self._known.clear()
            self._sizes = ()
        self._known[before] = Head(
            sent.model_name, sent.model_version, signature, names, contents, between, wanted, order
        )
        self._sizes = tuple(dict.fromkeys((contents.size, *self._sizes)))
