"""Whatever is refused, on whatever route, has a status and a code, and leaves nothing but its counter."""

from __future__ import annotations

import gzip
import importlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from tests.e2e.clients import journal, metric
from tests.e2e.conftest import Running, registered, start_server, stop

ROW = {"amount": 20.0, "visits": 3, "country": "nl"}
JSON = "application/json"
PREDICT, INFER = "/models/risk/predict", "/v2/models/risk/infer"
INVOKE, OUTCOMES = "/models/risk/invocations", "/models/risk/outcomes"
DEPLOY, LOAD = "/api/v1/models/risk/deploy", "/v2/repository/models/risk/load"
PUSH = "/api/v1/features/none"
SECRET = "open-sesame"
TOKEN = {"authorization": f"Bearer {SECRET}"}


class Case(NamedTuple):
    """A request that is refused."""

    name: str
    path: str
    body: bytes
    status: int
    code: str
    headers: Mapping[str, str] = MappingProxyType({})
    method: str = "POST"


def row(**changes: Any) -> bytes:
    return json.dumps({"features": {**ROW, **changes}}).encode()


def tensors(**changes: Any) -> bytes:
    kinds = {"amount": "FP64", "visits": "INT64", "country": "BYTES"}
    inputs = [
        {"name": name, "datatype": kinds[name], "shape": [1], "data": [value]}
        for name, value in {**ROW, **changes}.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def deep(inside: bytes = b"1", levels: int = 5_000) -> bytes:
    return b"[" * levels + inside + b"]" * levels


BOMB = gzip.compress(b" " * 3_000_000)
GZIP = {"content-encoding": "gzip"}
ONE = {"prediction_id": "a", "value": 1}

CASES = [
    Case("a feature twice", PREDICT, b'{"features": {"visits": 1, "visits": 2}}', 400, "duplicate_name"),
    Case("a field twice", PREDICT, b'{"key": "a", "key": "b", "features": {"visits": 1}}', 400, "duplicate_name"),
    Case("a name twice, once escaped", PREDICT, b'{"features": {"visits": 1, "v\\u0069sits": 2}}', 400, "duplicate_name"),
    Case("a tensor's field twice", INFER, b'{"inputs": [], "inputs": []}', 400, "duplicate_name"),
    Case("a record's column twice", INVOKE, b'{"instances": [{"visits": 1, "visits": 2}]}', 400, "duplicate_name"),
    Case("an outcome's value twice", OUTCOMES, b'{"prediction_id": "a", "value": 0, "value": 1}', 400, "duplicate_name"),
    Case("a reason twice", DEPLOY, b'{"reason": "a", "reason": "b", "version": 1}', 400, "duplicate_name", TOKEN),
    Case("NaN", PREDICT, b'{"features": {"amount": NaN}}', 400, "malformed_json"),
    Case("Infinity", INFER, b'{"inputs": [{"name": "amount", "datatype": "FP64", "shape": [1], "data": [Infinity]}]}', 400, "malformed_json"),
    Case("a number beyond any float", PREDICT, row().replace(b"20.0", b"1e400"), 400, "invalid_shape"),
    Case("an integer beyond 2^53", PREDICT, row(visits=2**53 + 1), 422, "inexact"),
    Case("an integer beyond 2^64", PREDICT, row(visits=2**64 + 1), 422, "inexact"),
    Case("an integer of 5,000 digits", PREDICT, row().replace(b"20.0", b"9" * 5_000), 400, "invalid_shape"),
    Case("a tensor beyond int64", INFER, tensors(visits=2**63), 400, "invalid_tensor"),
    Case("a float for an integer", INFER, tensors(visits=2.5), 400, "invalid_tensor"),
    Case("half a surrogate", PREDICT, row().replace(b'"nl"', b'"\\ud800"'), 400, "malformed_json"),
    Case("not UTF-8", INVOKE, b'{"instances": [{"country": "\xff"}]}', 400, "malformed_json"),
    Case("UTF-16", PREDICT, row().decode().encode("utf-16"), 400, "malformed_json"),
    Case("a byte order mark", PREDICT, b"\xef\xbb\xbf" + row(), 400, "malformed_json"),
    Case("a null byte", PREDICT, row() + b"\0", 400, "malformed_json"),
    Case("two bodies", PREDICT, row() + row(), 400, "malformed_json"),
    Case("a comma too many", PREDICT, row()[:-1] + b",}", 400, "malformed_json"),
    Case("a comment", PREDICT, b"/* */" + row(), 400, "malformed_json"),
    Case("a text too long", PREDICT, row(country="x" * 10_001), 422, "too_long"),
    Case("a key too long", PREDICT, json.dumps({"features": ROW, "key": "k" * 513}).encode(), 400, "invalid_shape"),
    Case("an id too long", PREDICT, json.dumps({"features": ROW, "prediction_id": "k" * 129}).encode(), 400, "invalid_shape"),
    Case("a negative time", PREDICT, json.dumps({"features": ROW, "event_time": -1}).encode(), 422, "event_time_out_of_range"),
    Case("a time that is none", PREDICT, json.dumps({"features": ROW, "event_time": "noon"}).encode(), 400, "invalid_shape"),
    Case("no time left", PREDICT, row(), 400, "invalid_deadline", {"trimtab-deadline-ms": "0"}),
    Case("deep values", PREDICT, b'{"features": {"amount": ' + deep() + b"}}", 400, "invalid_shape"),
    Case("deep instances", INVOKE, b'{"instances": ' + deep() + b"}", 400, "invalid_shape"),
    Case("deep parameters", INFER, b'{"inputs": [], "parameters": {"a": ' + deep() + b"}}", 400, "invalid_shape"),
    Case("deep objects", OUTCOMES, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, 400, "invalid_shape"),
    Case("a bomb", PREDICT, BOMB, 413, "body_too_large", GZIP),
    Case("a bomb of tensors", INFER, BOMB, 413, "body_too_large", GZIP),
    Case("a bomb of records", INVOKE, BOMB, 413, "body_too_large", GZIP),
    Case("a bomb of outcomes", OUTCOMES, BOMB, 413, "body_too_large", GZIP),
    Case("a bomb of reasons", DEPLOY, BOMB, 413, "body_too_large", {**GZIP, **TOKEN}),
    Case("not packed", PREDICT, row(), 400, "malformed_encoding", GZIP),
    Case("packed and cut off", PREDICT, gzip.compress(row())[:-4], 400, "malformed_encoding", GZIP),
    Case("packed twice", PREDICT, gzip.compress(gzip.compress(row())), 400, "malformed_json", GZIP),
    Case("packed in a strange way", OUTCOMES, b"x", 415, "unsupported_media_type", {"content-encoding": "zstd"}),
    Case("a form", PREDICT, b"a=1", 415, "unsupported_media_type", {"content-type": "application/x-www-form-urlencoded"}),
    Case("parts", INFER, b"--x--", 415, "unsupported_media_type", {"content-type": "multipart/form-data; boundary=x"}),
    Case("CSV for rows", PREDICT, b"a,b\n1,2\n", 415, "unsupported_media_type", {"content-type": "text/csv"}),
    Case("tensors for outcomes", OUTCOMES, b"", 415, "unsupported_media_type", {"content-type": "application/octet-stream"}),
    Case("a columns' text", PREDICT, b'{"columns": "a"}', 400, "invalid_shape"),
    Case("columns of two lengths", PREDICT, b'{"columns": {"visits": [1], "country": ["nl", "de"]}}', 400, "invalid_request"),
    Case("no outcomes", OUTCOMES, b'{"outcomes": []}', 400, "invalid_request"),
    Case("an outcome without a value", OUTCOMES, b'{"prediction_id": "a"}', 400, "invalid_request"),
    Case("an outcome that is null", OUTCOMES, b'{"prediction_id": "a", "value": null}', 400, "invalid_request"),
    Case("an outcome that is a list", OUTCOMES, b'{"prediction_id": "a", "value": [1]}', 400, "invalid_shape"),
    Case("an outcome for nobody", OUTCOMES, json.dumps({**ONE, "prediction_id": "0" * 32}).encode(), 404, "unknown_prediction"),
    Case("an outcome that means nothing", OUTCOMES, json.dumps({**ONE, "value": 7}).encode(), 400, "invalid_outcome"),
    Case("a change by nobody", DEPLOY, b'{"reason": "x", "version": 1}', 401, "unauthorized"),
    Case("a change with half a token", DEPLOY, b"{}", 401, "unauthorized", {"authorization": "Bearer"}),
    Case("a change by another scheme", DEPLOY, b"{}", 401, "unauthorized", {"authorization": "Basic b3Blbg=="}),
    Case("a change with a token in Unicode", DEPLOY, b"{}", 401, "unauthorized", {"authorization": "Bearer \u00e9"}),
    Case("a change without a reason", DEPLOY, b'{"reason": " ", "version": 1}', 400, "invalid_request", TOKEN),
    Case("a change without a version", DEPLOY, b'{"reason": "x"}', 400, "invalid_request", TOKEN),
    Case("a version that is a list", DEPLOY, b'{"reason": "x", "version": [1]}', 400, "invalid_shape", TOKEN),
    Case("a version that is not there", DEPLOY, b'{"reason": "x", "version": 99}', 404, "unknown_version", TOKEN),
    Case("a rollback of the only version", "/api/v1/models/risk/rollback", b'{"reason": "x"}', 409, "nothing_to_roll_back_to", TOKEN),
    Case("features for no view", PUSH, b'{"rows": []}', 404, "unknown_view", TOKEN),
    Case("features by nobody", PUSH, b'{"rows": []}', 401, "unauthorized"),
    Case("a load by nobody", LOAD, b"{}", 401, "unauthorized"),
    Case("a load of files", LOAD, b'{"parameters": {"file:1/model": "eA=="}}', 400, "invalid_shape", TOKEN),
    Case("a GET", PREDICT, b"", 405, "method_not_allowed", method="GET"),
    Case("a PUT", INFER, b"{}", 405, "method_not_allowed", method="PUT"),
    Case("a DELETE", "/v2/models/risk", b"", 405, "method_not_allowed", method="DELETE"),
    Case("a PATCH", OUTCOMES, b"{}", 405, "method_not_allowed", method="PATCH"),
    Case("nowhere", "/v3/models", b"{}", 404, "no_route"),
    Case("a model that is not there", "/models/no%20one/predict", row(), 404, "unknown_model"),
    Case("a model of dots", "/models/..%2Frisk/predict", row(), 404, "no_route"),
    Case("a version of letters", "/v2/models/risk/versions/one/infer", tensors(), 404, "version_not_live"),
    Case("metadata of nobody", "/v2/models/nope", b"", 404, "unknown_model", method="GET"),
    Case("a head longer than the body", INFER, tensors(), 400, "invalid_tensor", {"inference-header-content-length": "99999"}),
    Case("a head in Unicode digits", INFER, tensors(), 400, "invalid_tensor", {"inference-header-content-length": "1\u00b2"}),
]  # fmt: skip

HOST = b"host: h\r\n"
LINE = b"POST /models/risk/predict HTTP/1.1\r\n" + HOST
BODY = row()
LENGTH = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
SMUGGLING: dict[str, bytes] = {
    "length and chunked": LINE + LENGTH + CHUNKED + b"\r\n0\r\n\r\n" + LINE,
    "chunked and length": LINE + CHUNKED + LENGTH + b"\r\n0\r\n\r\n" + LINE,
    "two lengths": LINE + LENGTH + b"content-length: 5\r\n\r\n" + BODY,
    "two lengths in one": LINE + b"content-length: 5, 6\r\n\r\n" + BODY,
    "a negative length": LINE + b"content-length: -1\r\n\r\n" + BODY,
    "a signed length": LINE + b"content-length: +5\r\n\r\n" + BODY,
    "a length in hex": LINE + b"content-length: 0x10\r\n\r\n" + BODY,
    "a length of 40 digits": LINE + b"content-length: %b\r\n\r\n" % (b"9" * 40) + BODY,
    "a space before the colon": LINE + b"content-length : 5\r\n\r\n" + BODY,
    "a folded header": LINE + LENGTH + b"x: 1\r\n content-length: 5\r\n\r\n" + BODY,
    "a null in a header": LINE + LENGTH + b"x: a\0b\r\n\r\n" + BODY,
    "a header without a name": LINE + LENGTH + b": x\r\n\r\n" + BODY,
    "a chunk size that is none": LINE + CHUNKED + b"\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": LINE + CHUNKED + b"\r\n2\r\n{}x\r\n0\r\n\r\n",
    "a chunk size of 20 digits": LINE + CHUNKED + b"\r\n%b\r\n{}\r\n" % (b"F" * 20),
    "an unknown transfer encoding": LINE + b"transfer-encoding: xchunked\r\n\r\n" + BODY,
    "chunked that is not last": LINE + b"transfer-encoding: chunked, gzip\r\n\r\n" + BODY,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "an unknown method": b"FROB / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a version of its own": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.fixture(scope="module", params=["asgi", "lane"])
def edge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of either way in."""
    folder = tmp_path_factory.mktemp(request.param)
    path = registered(folder)
    (folder / "token").write_text(SECRET)
    path.write_text(
        path.read_text().replace("[serve]\n", f'[serve]\nhttp = "{request.param}"\n')
        + f'\n[[auth.tokens]]\nname = "ops"\nrole = "operator"\nsecret = "file:{folder}/token"\n'
    )
    running = start_server(path)
    yield running
    stop(running)


def told(reply: Any) -> str:
    found = reply.json()
    return str(found["code"] if "code" in found else found["error"]["code"])


def test_every_case_has_its_status_and_code_and_leaves_only_its_counter(edge: Running) -> None:
    assert len(CASES) >= 70
    wrong = []
    with edge.client as client:
        before = metric(client, "ml_requests_total")
        for case in CASES:
            reply = client.request(
                case.method,
                case.path,
                content=case.body,
                headers={k.encode(): v.encode("latin-1") for k, v in case.headers.items()},
            )
            if (case.status, case.code) != (reply.status_code, told(reply)):
                wrong.append((case.name, reply.status_code, reply.text[:200]))
        assert [] == wrong
        assert before + len(CASES) == metric(client, "ml_requests_total")
        assert 0 == metric(client, "ml_predictions_total")
    assert [] == journal(edge.config)


Read = Callable[[Any], tuple[str, bytes, str]]
TABLES: list[tuple[str, str, Read]] = [
    ("test_bad_requests", "BAD_PREDICTIONS", lambda case: (PREDICT, case[1], JSON)),
    ("test_open_inference", "BAD", lambda case: (INFER, case[1], JSON)),
    ("test_mlflow_invocations", "BAD", lambda case: (INVOKE, case[2], case[1])),
]


def test_the_cases_of_each_wire_leave_nothing_either(edge: Running) -> None:
    sent = 0
    with edge.client as client:
        before = metric(client, "ml_requests_total")
        for module, name, read in TABLES:
            for case in getattr(importlib.import_module(f"tests.e2e.{module}"), name):
                path, body, media = read(case)
                reply = client.post(path, content=body, headers={"content-type": media})
                assert 400 <= reply.status_code < 500, case[0]
                sent += 1
        assert before + sent == metric(client, "ml_requests_total")
    assert sent > 80
    assert [] == journal(edge.config)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/models/nobody", 404),
        ("GET", "/models/nobody.json", 404),
        ("GET", "/models/nobody/report", 404),
        ("POST", "/models/risk/change/pause", 415),
        ("PUT", "/models/risk/change/pause", 405),
        ("GET", "/nowhere", 404),
    ],
)
def test_what_pages_refuse_is_counted_once(
    edge: Running, method: str, path: str, status: int
) -> None:
    with edge.client as client:
        before = metric(client, "ml_requests_total")
        assert status == client.request(method, path).status_code
        assert before + 1 == metric(client, "ml_requests_total")
        assert 200 == client.get("/").status_code
        assert before + 1 == metric(client, "ml_requests_total")


@pytest.mark.parametrize("name", SMUGGLING)
def test_framing_that_is_not_clear_is_refused_and_the_connection_closed(
    edge: Running, name: str
) -> None:
    host, _, port = edge.url.removeprefix("http://").partition(":")
    with edge.client as client:
        before = metric(client, "ml_requests_total")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(SMUGGLING[name])
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), answer
    assert b"connection: close" in head.lower()
    assert "malformed_http" == json.loads(body)["error"]["code"]
    with edge.client as client:
        assert 200 == client.get("/v2/health/live").status_code
        assert before + 1 == metric(client, "ml_requests_total")
    assert [] == journal(Path(edge.config))
