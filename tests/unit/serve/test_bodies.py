"""Bodies: packed ones within their limit, names that stand twice, the path of what is wrong."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from starlette.requests import Request

from trimtab.errors import InvalidRequest
from trimtab.serve import invocations, wire
from trimtab.serve.body import read_body
from trimtab.serve.decoding import decode, misshapen
from trimtab.serve.v2 import request as v2
from trimtab.types import FeatureKind, FeatureSpec, Signature, Task

LIMIT = 1_000


def read(chunks: list[bytes], encoding: str | None) -> bytes:
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    headers = [] if encoding is None else [(b"content-encoding", encoding.encode())]
    feed = iter(waiting)

    async def receive() -> Any:
        return next(feed)

    return asyncio.run(read_body(Request({"type": "http", "headers": headers}, receive), LIMIT))


def pieces(data: bytes, size: int = 7) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "GZIP": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
}


@pytest.mark.parametrize("encoding", PACKED)
@pytest.mark.parametrize("size", [0, 1, 500, LIMIT])
def test_packed_bodies_up_to_the_limit(encoding: str, size: int) -> None:
    body = bytes(at % 251 for at in range(size))
    packed = PACKED[encoding](body)
    assert [body] * 2 == [read([packed], encoding), read(pieces(packed), encoding)]
    assert [body] * 2 == [read([body], None), read(pieces(body), "identity")]


@pytest.mark.parametrize(
    ("encoding", "body", "code"),
    [
        ("gzip", gzip.compress(b"x" * (LIMIT + 1)), "body_too_large"),
        ("gzip", gzip.compress(b"\0" * 900_000), "body_too_large"),
        ("deflate", zlib.compress(b"\0" * 900_000), "body_too_large"),
        ("gzip", gzip.compress(b"hello")[:-3], "malformed_encoding"),
        ("gzip", gzip.compress(b"hello") + b"more", "malformed_encoding"),
        ("gzip", gzip.compress(b"a") + gzip.compress(b"b"), "malformed_encoding"),
        ("gzip", b'{"features": {}}', "malformed_encoding"),
        ("gzip", b"", "malformed_encoding"),
        ("br", b"x", "unsupported_media_type"),
        ("gzip, gzip", b"x", "unsupported_media_type"),
        ("", b"x" * (LIMIT + 1), "body_too_large"),
    ],
)
def test_bombs_and_broken_packing(encoding: str, body: bytes, code: str) -> None:
    for chunks in ([body], pieces(body, 64)):
        with pytest.raises(InvalidRequest) as told:
            read(chunks, encoding)
        assert code == told.value.code


def test_a_bomb_is_not_unpacked_beyond_the_limit() -> None:
    stack = gzip.compress(b"\0" * 50_000_000)
    taken = 0

    async def receive() -> Any:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": pieces(stack, 512)[taken - 1], "more_body": True}

    headers = [(b"content-encoding", b"gzip")]
    with pytest.raises(InvalidRequest):
        asyncio.run(read_body(Request({"type": "http", "headers": headers}, receive), LIMIT))
    assert 1 == taken


TWICE = [
    (wire.PredictBody, b'{"features": {"a": 1, "a": 2}}', "a"),
    (wire.PredictBody, b'{"features": {"a": 1}, "features": {"b": 2}}', "features"),
    (wire.PredictBody, b'{"key": "x", "key": "x", "features": {"a": 1}}', "key"),
    (wire.PredictBody, b'{"key": null, "key": "x", "features": {}}', "key"),
    (wire.PredictBody, b'{"features": {"a\\u0062": 1, "ab" : 2}}', "ab"),
    (wire.PredictBody, b'{"rows": [{"features": {"a": 1}}, {"features": {"a": 1, "a": 1}}]}', "a"),
    (wire.PredictBody, b'{"columns": {"a": [1], "b": [2], "a": [1]}}', "a"),
    (wire.OutcomesBody, b'{"prediction_id": "a", "value": 1, "value": 0}', "value"),
    (v2.InferBody, b'{"inputs": [{"name": "a", "name": "b", "shape": [1], "datatype": "FP64", "data": [1]}]}', "name"),
    (v2.InferBody, b'{"inputs": [], "parameters": {"key": "a", "key": "b"}}', "key"),
    (v2.InferBody, b'{"inputs": [], "parameters": {"theirs": {"x": 1, "x": 2}}}', "x"),
    (invocations.InvocationBody, b'{"instances": [{"a": 1, "a": 2}]}', "a"),
    (invocations.InvocationBody, b'{"inputs": {"a": [1], "a": [2]}}', "a"),
    (invocations.InvocationBody, b'{"dataframe_split": {"columns": ["a"], "data": [[1]], "data": [[2]]}}', "data"),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "body", "name"), TWICE)
def test_a_name_that_stands_twice(shape: type, body: bytes, name: str) -> None:
    known: dict[type, Any] = {
        wire.PredictBody: wire._names,
        v2.InferBody: v2._names,
        invocations.InvocationBody: invocations._names,
    }
    names = known.get(shape)
    with pytest.raises(InvalidRequest, match=f"{name!r} stands twice") as told:
        decode(msgspec.json.Decoder(shape), body, names)
    assert "duplicate_name" == told.value.code


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"features": {"amount": 1, "b": [1]}}', "features.b"),
        (
            b'{"rows": [{"features": {}}, {"features": {"x": 1, "y": {"z": 1}}}]}',
            "rows[1].features.y",
        ),
        (b'{"columns": {"a": [1], "b": 2}}', "columns.b"),
        (b'{"columns": {"a": [1, 2], "b": [1, [2]]}}', "columns.b[1]"),
        (b'{"features": {"a": 1}, "key": 3}', "key"),
        (b'{"keys": ["a", 3], "columns": {}}', "keys[1]"),
        (b"[1]", None),
        (b'{"features": {"a": 1, "b": 1e400}}', "features.b"),
        (b'{"rows": [{"features": {"a": ' + b"9" * 5_000 + b"}}]}", "rows[0].features.a"),
        (b'{"features": {"b": [1]}, oops', "features[...]"),
    ],
)
def test_the_path_is_complete(body: bytes, path: str | None) -> None:
    with pytest.raises(InvalidRequest) as told:
        decode(msgspec.json.Decoder(wire.PredictBody), body)
    assert ("invalid_shape", path) == (told.value.code, told.value.path)


def test_the_path_of_a_value_that_stood_elsewhere() -> None:
    rows = [{"features": {"a": 1}}, {"features": {"a": 1, "b": [1]}}]
    with pytest.raises(msgspec.ValidationError) as wrong:
        msgspec.convert(rows, tuple[wire.RowBody, ...])
    assert "rows[1].features.b" == misshapen(wrong.value, rows, "rows").path


def frame(body: bytes) -> Any:
    signature = Signature((FeatureSpec("a", FeatureKind.NUMERIC),), Task.REGRESSION)
    return invocations.invocation_request(body, "application/json", signature, 10)


def test_a_number_that_mlflow_writes_as_nan_is_missing_and_a_text_is_a_text() -> None:
    asked = frame(b'{"dataframe_records": [{"a": NaN, "b": "NaN \\"NaN", "NaN": 1}, {"a": 2}]}')
    assert [{"a": None, "b": 'NaN "NaN', "NaN": 1}, {"a": 2}] == [r.features for r in asked.rows]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"instances": [[NaN]]', "malformed_json"),
        (b'{"instances": [[-NaN]]}', "malformed_json"),
        (b'{"instances": [[Infinity, NaN]]}', "malformed_json"),
        (b'{"instances": [[NaN]], "x": 1}', "invalid_shape"),
        (b'{"dataframe_records": [{"a": NaN, "a": 1}]}', "duplicate_name"),
    ],
)
def test_nan_makes_nothing_else_of_a_body_sound(body: bytes, code: str) -> None:
    with pytest.raises(InvalidRequest) as wrong:
        frame(body)
    assert code == wrong.value.code


def test_a_text_without_an_end_is_read_once() -> None:
    with pytest.raises(InvalidRequest):
        frame(b'{"instances": [[NaN, "' + b'\\"' * 1_000_000)
