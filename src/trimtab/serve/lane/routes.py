"""Which addresses the lane takes, and what answers their bodies."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from trimtab.serve.lane.gather import Plain, Together
from trimtab.serve.plain import Alone
from trimtab.serve.reply import Reply
from trimtab.serve.v2.routes import HEADER_LENGTH
from trimtab.serve.wire import DEADLINE

Work = Coroutine[Any, Any, Reply]
Ask = Callable[[bytes, str | None], Work]
"""What answers a body; the row of a plain prediction under a given prediction id, where there is one."""

Refuse = Callable[[str], Reply]
"""What refuses one unread, for a reason of :mod:`trimtab.serve.overload`."""

_JSON = frozenset({b"", b"application/json"})
_TENSORS = _JSON | {b"application/octet-stream"}
_PREDICT = re.compile(rb"/models/([A-Za-z0-9_.-]+)/predict")
_FEATURES = re.compile(rb"/models/([A-Za-z0-9_.-]+)/features")
_INFER = re.compile(rb"/v2/models/([A-Za-z0-9_.-]+)/infer")
_LENGTH = re.compile(r"[0-9]{1,12}")
_DEADLINE, _HEADER_LENGTH = DEADLINE.encode(), HEADER_LENGTH.encode()


class Predictions(Protocol):
    """Answers predictions; :class:`~trimtab.serve.dataplane.DataPlane` is one."""

    def features(self, model: str, body: bytes, content_type: str, deadline: str) -> Work:
        """What a model would be given."""
        ...

    def predict(
        self,
        model: str,
        body: bytes,
        content_type: str,
        deadline: str,
        prediction_id: str | None = None,
    ) -> Work:
        """A prediction, whose only row has that id unless its client gave it one."""
        ...

    def together(
        self, model: str, sent: Sequence[tuple[bytes, float]]
    ) -> Coroutine[Any, Any, Sequence[Reply | Alone]]:
        """Plain predictions in JSON that arrived together, each with its time in monotonic seconds."""
        ...

    async def features_together(
        self, model: str, sent: Sequence[tuple[bytes, float]]
    ) -> Sequence[Reply | Alone]:
        """What a model would be given, likewise."""
        ...

    def infer(
        self,
        model: str,
        body: bytes,
        content_type: str,
        version: int | None,
        header_length: int | None,
        deadline: str,
        prediction_id: str | None = None,
    ) -> Work:
        """One of the Open Inference Protocol, whose only row has that id unless its client gave it one."""
        ...

    def tensors_together(
        self,
        model: str,
        sent: Sequence[tuple[bytes, float]],
        header_length: int | None = None,
    ) -> Coroutine[Any, Any, Sequence[Reply | Alone]]:
        """Such of one row each that arrived together."""
        ...

    def shed(self, model: str, tensors: bool, reason: str) -> Reply:
        """Refuse a prediction unread; ``tensors`` is whether it was one of the Open Inference Protocol."""
        ...


def asked(
    predictions: Predictions, url: bytes, headers: Mapping[bytes, bytes]
) -> tuple[Ask, Refuse] | None:
    """What answers or refuses a POST to an address with these headers; None if it is not for the lane."""
    content_type, deadline, length = (
        headers.get(name, b"").decode("latin-1")
        for name in (b"content-type", _DEADLINE, _HEADER_LENGTH)
    )
    if found := _PREDICT.fullmatch(url):
        model = found[1].decode()
        ask = partial(_predict, predictions, model, content_type, deadline)
        return ask, partial(predictions.shed, model, False)
    if found := _FEATURES.fullmatch(url):
        model = found[1].decode()
        ask = partial(_features, predictions, model, content_type, deadline)
        return ask, partial(predictions.shed, model, False)
    clear = _HEADER_LENGTH not in headers or _LENGTH.fullmatch(length)
    if clear and (found := _INFER.fullmatch(url)):
        bytes_of_json, model = int(length) if length else None, found[1].decode()
        ask = partial(_infer, predictions, model, content_type, deadline, bytes_of_json)
        return ask, partial(predictions.shed, model, True)
    return None


def plain(predictions: Predictions, url: bytes, headers: Mapping[bytes, bytes]) -> Plain | None:
    """What answers a POST in JSON together with others, if its headers say nothing more."""
    media = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if _DEADLINE in headers:
        return None
    if found := _INFER.fullmatch(url):
        together = _tensors(predictions, media, headers.get(_HEADER_LENGTH))
        return None if together is None else Plain(together, found[1].decode())
    if media not in _JSON:
        return None
    if found := _PREDICT.fullmatch(url):
        return Plain(predictions.together, found[1].decode())
    found = _FEATURES.fullmatch(url)
    return None if found is None else Plain(predictions.features_together, found[1].decode())


def _tensors(predictions: Predictions, media: bytes, length: bytes | None) -> Together | None:
    """What answers tensors, which follow the JSON as bytes if there is a ``length`` of it."""
    if length is None:
        return predictions.tensors_together if media in _JSON else None
    text = length.decode("latin-1")
    if media not in _TENSORS or not _LENGTH.fullmatch(text):
        return None
    return partial(predictions.tensors_together, header_length=int(text))


def _predict(
    predictions: Predictions,
    model: str,
    content_type: str,
    deadline: str,
    body: bytes,
    prediction_id: str | None,
) -> Work:
    return predictions.predict(model, body, content_type, deadline, prediction_id)


def _features(
    predictions: Predictions,
    model: str,
    content_type: str,
    deadline: str,
    body: bytes,
    _: str | None,
) -> Work:
    return predictions.features(model, body, content_type, deadline)


def _infer(
    predictions: Predictions,
    model: str,
    content_type: str,
    deadline: str,
    header_length: int | None,
    body: bytes,
    prediction_id: str | None,
) -> Work:
    return predictions.infer(
        model, body, content_type, None, header_length, deadline, prediction_id
    )
