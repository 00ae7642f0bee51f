"""Which addresses the lane takes, and what answers their bodies."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

from trimtab.serve.dataplane import Reply
from trimtab.serve.v2.routes import HEADER_LENGTH
from trimtab.serve.wire import DEADLINE

Work = Coroutine[Any, Any, Reply]
Ask = Callable[[bytes], Work]
"""What answers a body."""

Refuse = Callable[[str], Reply]
"""What refuses one unread, for a reason of :mod:`trimtab.serve.overload`."""

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

    def predict(self, model: str, body: bytes, content_type: str, deadline: str) -> Work:
        """A plain prediction."""
        ...

    def infer(
        self,
        model: str,
        body: bytes,
        content_type: str,
        version: int | None,
        header_length: int | None,
        deadline: str,
    ) -> Work:
        """One of the Open Inference Protocol."""
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


def _predict(
    predictions: Predictions, model: str, content_type: str, deadline: str, body: bytes
) -> Work:
    return predictions.predict(model, body, content_type, deadline)


def _features(
    predictions: Predictions, model: str, content_type: str, deadline: str, body: bytes
) -> Work:
    return predictions.features(model, body, content_type, deadline)


def _infer(
    predictions: Predictions,
    model: str,
    content_type: str,
    deadline: str,
    header_length: int | None,
    body: bytes,
) -> Work:
    return predictions.infer(model, body, content_type, None, header_length, deadline)
