"""Infer requests in JSON of one row, read straight to its values where nothing about them is unusual."""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta

from trimtab.errors import TrimtabError
from trimtab.protocols import LiveModel
from trimtab.schema.plain import Key
from trimtab.schema.values import MAX_EXACT
from trimtab.serve import wire
from trimtab.serve.plain import Read
from trimtab.serve.reply import Reply, inference_failure
from trimtab.serve.v2.reply import outputs_of, tensors_reply, told_of
from trimtab.serve.v2.request import OWN, Asked, OutputAsked
from trimtab.serve.v2.tensors import Parameters, unremarkable
from trimtab.types import FeatureKind, PlainRow, PredictAnswer, PredictRequest, Signature

MOST_KNOWN = 256
"""Versions whose readers are remembered."""


class _Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    binary_data_size: int


class _Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One tensor of numbers, which JSON has as they are whatever their length, or which follow as bytes."""

    name: str
    shape: tuple[int, int]
    datatype: Literal["FP32", "FP64"]
    data: tuple[Annotated[float, Meta(gt=-MAX_EXACT, lt=MAX_EXACT)], ...] | None = None
    parameters: _Size | None = None


class _Packing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    binary_data: bool


class _Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    name: str
    parameters: _Packing | None = None


class _Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    key: Key | None = None
    binary_data_output: bool | None = None


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A request that says what it is answered by, and how, but nothing that is of a row alone."""

    inputs: tuple[_Input]
    id: wire.Id | None = None
    outputs: tuple[_Output, ...] | None = None
    parameters: _Parameters = _Parameters()


_decode = msgspec.json.Decoder(_Body).decode
_NAMES = 4
_BACKSLASH = ord("\\")


class PlainTensors:
    """Reads one tensor of shape ``[1, features]``; None leaves a body to the checks by value, and to their words.

    Args:
        signature: Of numbers alone.
    """

    def __init__(self, signature: Signature) -> None:
        width = len(signature.features)
        self._names = frozenset(signature.names)
        self._shape = (1, width)
        self._outputs = frozenset(info.name for info in outputs_of(signature))
        self._unpacked = {"FP32": Struct(f"<{width}f"), "FP64": Struct(f"<{width}d")}

    def __call__(
        self, body: bytes, arrived: float, header_length: int | None = None
    ) -> PlainRow | None:
        """A body's row.

        Args:
            body: JSON, followed by the tensor as bytes if ``header_length`` is given.
            arrived: When it was there, in monotonic seconds.
            header_length: Bytes of the JSON part.
        """
        text = body if header_length is None else body[:header_length]
        try:
            sent = _decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        (tensor,) = sent.inputs
        values = self._values(tensor, body[len(text) :])
        if values is None or (1, len(values)) != tensor.shape or tensor.shape != self._shape:
            return None
        if tensor.name in self._names or tensor.name.startswith(OWN):
            return None
        # Each name is followed by a colon: a body with more of them has a name that stands twice.
        if text.count(b":") != _colons(sent) or _BACKSLASH in text:
            return None
        outputs = sent.outputs
        if outputs and not self._outputs.issuperset([output.name for output in outputs]):
            return None
        wanted = Asked(
            PredictRequest(rows=(), request_id=sent.id),
            None if outputs is None else tuple(map(_asked, outputs)),
            bool(sent.parameters.binary_data_output),
        )
        return PlainRow(values, sent.parameters.key, arrived, sent.id, wanted)

    def _values(self, tensor: _Input, rest: bytes) -> tuple[float, ...] | None:
        if tensor.parameters is None:
            return None if rest else tensor.data
        unpacked = self._unpacked[tensor.datatype]
        if not tensor.parameters.binary_data_size == len(rest) == unpacked.size or tensor.data:
            return None
        values = unpacked.unpack(rest)
        return values if unremarkable(values) else None


def _asked(output: _Output) -> OutputAsked:
    if output.parameters is None:
        return OutputAsked(output.name)
    return OutputAsked(output.name, Parameters(binary_data=output.parameters.binary_data))


def _colons(sent: _Body) -> int:
    """How many colons a body has, if no name stands twice."""
    (tensor,) = sent.inputs
    found = _NAMES + tensor.name.count(":")
    found += 1 if tensor.parameters is None else 2
    if sent.id is not None:
        found += 1 + sent.id.count(":")
    if sent.outputs is not None:
        found += 1 + sum(1 if output.parameters is None else 3 for output in sent.outputs)
    own = sent.parameters
    if own is not _NONE:
        found += 1 + (own.binary_data_output is not None)
        found += 0 if own.key is None else 1 + own.key.count(":")
    return found


_NONE = _Body.__struct_defaults__[-1]
"""The parameters of a body that has none."""


class TensorsForm:
    """The Open Inference Protocol; a :class:`~trimtab.serve.plain.Form`.

    Args:
        header_length: Bytes of the JSON part of bodies that go on behind it; None where they do not.
        readers: What reads the bodies of a version, by its digest.
    """

    def __init__(
        self,
        header_length: int | None = None,
        readers: dict[str, PlainTensors | None] | None = None,
    ) -> None:
        self._header_length = header_length
        self._readers = {} if readers is None else readers

    def followed(self, header_length: int) -> TensorsForm:
        """The same of bodies whose JSON is so long."""
        return TensorsForm(header_length, self._readers)

    def reader(self, live: LiveModel) -> Read | None:
        """What reads bodies for a model that takes numbers alone, made once a version."""
        digest, signature = live.champion.digest, live.champion.signature
        if digest not in self._readers:
            if len(self._readers) >= MOST_KNOWN:
                self._readers.clear()
            numbers = all(spec.kind is FeatureKind.NUMERIC for spec in signature.features)
            self._readers[digest] = PlainTensors(signature) if numbers else None
        read = self._readers[digest]
        if read is None or self._header_length is None:
            return read
        return partial(read, header_length=self._header_length)

    def told(self, live: LiveModel, row: PlainRow, answer: PredictAnswer) -> Reply:
        """The outputs that were asked for as tensors."""
        asked = cast("Asked", row.wanted)
        return tensors_reply(told_of(answer, asked, live.champion.signature))

    def failed(self, error: TrimtabError) -> Reply:
        """As the protocol has it."""
        return inference_failure(error)
