"""Infer requests in JSON of one row, read straight to its values where nothing about them is unusual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from trimtab.errors import TrimtabError
from trimtab.protocols import LiveModel
from trimtab.schema.values import MAX_EXACT
from trimtab.serve import wire
from trimtab.serve.plain import Row
from trimtab.serve.reply import Reply, inference_failure
from trimtab.serve.v2.reply import infer_reply, told_of
from trimtab.serve.v2.request import OWN, Asked
from trimtab.types import FeatureKind, PlainRow, PredictAnswer, PredictRequest, Signature

MOST_KNOWN = 256
"""Versions whose readers are remembered."""


class _Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One tensor of numbers, which JSON has as they are whatever their length."""

    name: str
    shape: tuple[int, int]
    datatype: Literal["FP32", "FP64"]
    data: tuple[Annotated[float, Meta(gt=-MAX_EXACT, lt=MAX_EXACT)], ...]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A request for all outputs, without parameters."""

    inputs: tuple[_Input]
    id: wire.Id | None = None


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = 5
_BACKSLASH = ord("\\")


class PlainTensors:
    """Reads one tensor of shape ``[1, features]``; None leaves a body to the checks by value, and to their words.

    Args:
        signature: Of numbers alone.
    """

    def __init__(self, signature: Signature) -> None:
        self._names = frozenset(signature.names)
        self._shape = (1, len(signature.features))

    def __call__(self, body: bytes) -> Row | None:
        """A row's values in order, no routing key, and the request's id."""
        try:
            sent = _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        (tensor,) = sent.inputs
        name, values = tensor.name, tensor.data
        if (1, len(values)) != tensor.shape or tensor.shape != self._shape:
            return None
        if name in self._names or name.startswith(OWN):
            return None
        # Each name is followed by a colon: a body with more of them has a name that stands twice.
        colons = _NAMES + name.count(":") + (0 if sent.id is None else 1 + sent.id.count(":"))
        if body.count(b":") != colons or _BACKSLASH in body:
            return None
        return values, None, sent.id


class TensorsForm:
    """The Open Inference Protocol; a :class:`~trimtab.serve.plain.Form`."""

    def __init__(self) -> None:
        self._readers: dict[str, PlainTensors | None] = {}

    def reader(self, live: LiveModel) -> Callable[[bytes], Row | None] | None:
        """What reads bodies for a model that takes numbers alone, made once a version."""
        digest, signature = live.champion.digest, live.champion.signature
        if digest not in self._readers:
            if len(self._readers) >= MOST_KNOWN:
                self._readers.clear()
            numbers = all(spec.kind is FeatureKind.NUMERIC for spec in signature.features)
            self._readers[digest] = PlainTensors(signature) if numbers else None
        return self._readers[digest]

    def told(self, live: LiveModel, row: PlainRow, answer: PredictAnswer) -> bytes:
        """All outputs as tensors in JSON."""
        asked = Asked(PredictRequest(rows=(), request_id=row.request_id), None, binary=False)
        return infer_reply(told_of(answer, asked, live.champion.signature))[0]

    def failed(self, error: TrimtabError) -> Reply:
        """As the protocol has it."""
        return inference_failure(error)
