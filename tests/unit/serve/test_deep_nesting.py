"""A body nested beyond all measure is refused with a code, whatever the format."""

from __future__ import annotations

import msgspec
import pytest

from trimtab.errors import InvalidRequest
from trimtab.serve import invocations, wire
from trimtab.serve.decoding import decode
from trimtab.serve.v2 import request

DEEP = b"[" * 9_000 + b"]" * 9_000
BODIES = [
    (invocations.InvocationBody, b'{"instances":' + DEEP + b"}"),
    (invocations.InvocationBody, b'{"inputs":' + DEEP + b"}"),
    (request.InferBody, b'{"parameters":{"a":' + DEEP + b'},"inputs":[]}'),
    (wire.PredictBody, b'{"features":{"a":' + DEEP + b"}}"),
]


@pytest.mark.parametrize(("shape", "body"), BODIES)
def test_deep_nesting_is_refused_with_a_code(shape: type, body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode(msgspec.json.Decoder(shape), body)
    assert "invalid_shape" == refused.value.code
