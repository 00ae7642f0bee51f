"""The Open Inference Protocol over gRPC: the answers of REST, its refusals, an unmodified client."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.e2e.clients import eventually, journal, metric
from tests.e2e.conftest import Running, registered, start_server, stop

from trimtab.serve.rpc.messages import SERVICE, message, methods
from trimtab.serve.v2.tensors import encoded

MOST_BYTES = 100_000  # as the configuration of these tests has it

ROOT = Path(__file__).resolve().parents[2]
SECRET = "open-sesame"
FIELDS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
COLUMNS: dict[str, tuple[str, list[Any]]] = {
    "amount": ("FP64", [20.0, float("nan")]),
    "visits": ("INT64", [3, 4]),
    "country": ("BYTES", [b"nl", b"fr"]),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of two workers that also speaks gRPC."""
    folder = tmp_path_factory.mktemp("server")
    path = registered(folder, workers=2)
    (folder / "token").write_text(SECRET)
    path.write_text(
        path.read_text().replace("[serve]\n", "[serve]\ngrpc_port = 0\n")
        + f'\n[[auth.tokens]]\nname = "ops"\nrole = "operator"\nsecret = "file:{folder}/token"\n'
    )
    running = start_server(path)
    yield running
    stop(running)


def counted(server: Running, status: int | None = None) -> float:
    """Requests so far, or those of a status."""
    with server.client as client:
        lines = client.get("/metrics").text.splitlines()
    told = [line for line in lines if line.startswith("ml_requests_total{")]
    wanted = [line for line in told if status is None or f'code="{status}"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in wanted)


def address(server: Running) -> str:
    told = json.loads((server.config.parent / "state" / "run" / "server.json").read_text())
    return f"{told['host']}:{told['grpc_port']}"


@pytest.fixture
def call(server: Running) -> Iterator[Callable[..., Any]]:
    """Calls a method of the service by its name."""
    with grpc.insecure_channel(address(server)) as channel:

        def ask(name: str, sent: Any = None, **options: Any) -> Any:
            taken, answer = next((t, a) for n, t, a in methods() if n == name)
            method = channel.unary_unary(
                f"/{SERVICE}/{name}",
                request_serializer=lambda m: m if isinstance(m, bytes) else m.SerializeToString(),
                response_deserializer=answer.FromString,
            )
            return method(taken() if sent is None else sent, timeout=20.0, **options)

        yield ask


def request(*, raw: bool = False, **changes: Any) -> Any:
    made = message("ModelInferRequest")(model_name="risk", id="mine")
    for name, (datatype, values) in {**COLUMNS, **changes}.items():
        tensor = made.inputs.add(name=name, datatype=datatype, shape=[len(values)])
        if raw:
            texts = [v.decode() if isinstance(v, bytes) else v for v in values]
            made.raw_input_contents.append(encoded(datatype, texts))
        else:
            getattr(tensor.contents, FIELDS[datatype]).extend(values)
    return made


def test_the_answers_are_those_of_rest(server: Any, call: Callable[..., Any]) -> None:
    rows = [
        {"features": {"amount": 20.0, "visits": 3, "country": "nl"}},
        {"features": {"visits": 4, "country": "fr"}},
    ]
    with server.client as client:
        plain = client.post("/models/risk/predict", json={"rows": rows}).json()["predictions"]
    typed, raw = call("ModelInfer", request()), call("ModelInfer", request(raw=True))
    scores = [row["score"] for row in plain]
    assert ["score", "outputs", "decision", "prediction_id", "version"] == [
        output.name for output in typed.outputs
    ]
    assert scores == list(typed.outputs[0].contents.fp64_contents)
    assert [2, 2] == list(typed.outputs[1].shape)
    assert [row["decision"].encode() for row in plain] == list(
        typed.outputs[2].contents.bytes_contents
    )
    assert scores == np.frombuffer(raw.raw_output_contents[0], "<f8").tolist()
    assert ("risk", "1", "mine") == (typed.model_name, typed.model_version, typed.id)
    assert 1 == typed.parameters["epoch"].int64_param


def test_what_comes_with_a_row_is_recorded_and_all_is_counted(
    server: Any, call: Callable[..., Any]
) -> None:
    sent = request()
    sent.parameters["key"].string_param = "ann"
    sent.parameters["event_time"].double_param = 1.7e9
    ids = sent.inputs.add(name="trimtab.prediction_id", datatype="BYTES", shape=[2])
    ids.contents.bytes_contents.extend([b"g-1", b"g-2"])
    asked = sent.outputs.add(name="decision")
    asked.parameters["theirs"].bool_param = True
    with server.client as client:
        before = metric(client, "ml_requests_total")
        answer = call("ModelInfer", sent)
        assert before + 1 == metric(client, "ml_requests_total")
    assert ["decision"] == [output.name for output in answer.outputs]
    kept = {record.prediction_id: record for record in journal(server.config)}
    assert [1.7e9] * 2 == [kept[name].event_time for name in ("g-1", "g-2")]
    assert (kept["g-1"].unit, True) == (kept["g-2"].unit, kept["g-1"].sticky)


def changed(change: Callable[[Any], None], *, raw: bool = False) -> Any:
    sent = request(raw=raw)
    change(sent)
    return sent


BAD: list[tuple[str, Any, str, str]] = [
    ("unknown model", changed(lambda r: setattr(r, "model_name", "nope")), "NOT_FOUND", "unknown_model"),
    ("unknown version", changed(lambda r: setattr(r, "model_version", "9")), "NOT_FOUND", "version_not_live"),
    ("no inputs", changed(lambda r: r.ClearField("inputs")), "INVALID_ARGUMENT", "invalid_tensor"),
    ("a missing feature", changed(lambda r: r.inputs.pop(1)), "INVALID_ARGUMENT", "missing_feature"),
    ("the wrong contents", changed(lambda r: setattr(r.inputs[0], "datatype", "FP32")), "INVALID_ARGUMENT", "invalid_tensor"),
    ("an unknown datatype", changed(lambda r: setattr(r.inputs[0], "datatype", "FP8")), "INVALID_ARGUMENT", "invalid_tensor"),
    ("half precision in contents", changed(lambda r: setattr(r.inputs[0], "datatype", "FP16")), "INVALID_ARGUMENT", "invalid_tensor"),
    ("a shape that does not fit", changed(lambda r: r.inputs[0].shape.append(7)), "INVALID_ARGUMENT", "invalid_tensor"),
    ("a negative shape", changed(lambda r: r.inputs[0].shape.__setitem__(0, -2)), "INVALID_ARGUMENT", "invalid_tensor"),
    ("text that is none", changed(lambda r: r.inputs[2].contents.bytes_contents.__setitem__(0, b"\xff")), "INVALID_ARGUMENT", "invalid_tensor"),
    ("an infinite number", changed(lambda r: r.inputs[0].contents.fp64_contents.__setitem__(0, float("inf"))), "INVALID_ARGUMENT", "not_finite"),
    ("an integer beyond 2^53", changed(lambda r: r.inputs[1].contents.int64_contents.__setitem__(0, 2**60)), "INVALID_ARGUMENT", "inexact"),
    ("too few raw contents", changed(lambda r: r.raw_input_contents.pop(), raw=True), "INVALID_ARGUMENT", "invalid_tensor"),
    ("raw and typed contents", changed(lambda r: r.inputs[0].contents.fp64_contents.append(1.0), raw=True), "INVALID_ARGUMENT", "invalid_tensor"),
    ("raw contents that are cut off", changed(lambda r: r.raw_input_contents.__setitem__(2, b"\x05\0\0\0nl"), raw=True), "INVALID_ARGUMENT", "invalid_tensor"),
    ("an unknown output", changed(lambda r: r.outputs.add(name="logit")), "INVALID_ARGUMENT", "unknown_output"),
    ("a key that is a number", changed(lambda r: setattr(r.parameters["key"], "int64_param", 3)), "INVALID_ARGUMENT", "invalid_shape"),
    ("an empty key", changed(lambda r: setattr(r.parameters["key"], "string_param", "")), "INVALID_ARGUMENT", "invalid_shape"),
    ("too many rows", request(amount=("FP64", [1.0] * 101)), "RESOURCE_EXHAUSTED", "too_many_rows"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "status", "code"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_refusals(server: Any, call: Callable[..., Any], sent: Any, status: str, code: str) -> None:
    before, asked = len(journal(server.config)), counted(server)
    with pytest.raises(grpc.RpcError) as told:
        call("ModelInfer", sent)
    error: Any = told.value
    assert status == error.code().name
    assert code == dict(error.trailing_metadata())["trimtab-code"]
    assert error.details()
    assert before == len(journal(server.config))
    assert asked + 1 == counted(server)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("ModelMetadata", message("ModelMetadataRequest")(name="nobody")),
        ("ModelMetadata", b"\xff\xff\xff"),
        ("RepositoryModelLoad", message("RepositoryModelLoadRequest")(model_name="risk")),
        ("ModelInfer", b"\xff\xff\xff"),
    ],
    ids=["metadata of nobody", "no message", "a load by nobody", "no tensors"],
)
def test_every_refusal_is_counted_once(
    server: Any, call: Callable[..., Any], name: str, sent: Any
) -> None:
    before = counted(server)
    with pytest.raises(grpc.RpcError):
        call(name, sent)
    assert before + 1 == counted(server)


def test_a_message_that_is_too_large_is_refused_with_our_words(
    server: Running, call: Callable[..., Any]
) -> None:
    before = counted(server, 413)
    with pytest.raises(grpc.RpcError) as told:
        call("ModelInfer", b"x" * (MOST_BYTES + 1))
    error: Any = told.value
    assert ("RESOURCE_EXHAUSTED", "body_too_large") == (
        error.code().name,
        dict(error.trailing_metadata())["trimtab-code"],
    )
    assert before + 1 == counted(server, 413)


def test_a_call_that_is_given_up_before_its_message_is_there_is_not_too_large(
    server: Running,
) -> None:
    before, large = counted(server, 400), counted(server, 413)
    with grpc.insecure_channel(address(server)) as channel:
        given_up = threading.Event()

        def never() -> Iterator[bytes]:
            given_up.wait()
            yield from ()

        with pytest.raises(grpc.RpcError) as told:
            channel.stream_unary(f"/{SERVICE}/ModelInfer")(never(), timeout=1.0)
        error: Any = told.value
        assert "DEADLINE_EXCEEDED" == error.code().name
        eventually(lambda: counted(server, 400), lambda seen: seen == before + 1)
        given_up.set()
    assert large == counted(server, 413)


def test_what_grpc_itself_refuses_is_counted_once(server: Any, call: Callable[..., Any]) -> None:
    before = counted(server)
    with pytest.raises(grpc.RpcError) as told:
        call("ModelInfer", b"x" * (3 * MOST_BYTES))
    error: Any = told.value
    assert "RESOURCE_EXHAUSTED" == error.code().name
    eventually(lambda: counted(server), lambda seen: seen == before + 1)
    with grpc.insecure_channel(address(server)) as channel:
        for name in (f"/{SERVICE}/ModelStreamInfer", "/other.Service/Method"):
            with pytest.raises(grpc.RpcError) as told:
                channel.unary_unary(name)(b"", timeout=20.0)
            error = told.value
            assert "UNIMPLEMENTED" == error.code().name
            assert "no_route" == dict(error.trailing_metadata())["trimtab-code"]
    assert before + 3 == counted(server)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\xff\xff\xff", "INVALID_ARGUMENT"),
        (b"\x0a\x05ab", "INVALID_ARGUMENT"),
        (b"x" * 200_000, "RESOURCE_EXHAUSTED"),
    ],
    ids=["no message", "cut off", "too large"],
)
def test_bytes_that_are_no_message(call: Callable[..., Any], sent: bytes, status: str) -> None:
    with pytest.raises(grpc.RpcError) as told:
        call("ModelInfer", sent)
    error: Any = told.value
    assert status == error.code().name
    assert call("ServerLive").live


def test_an_unmodified_tritonclient_is_served(server: Any) -> None:
    made = subprocess.run(
        [ROOT / "scripts" / "peer-env.sh", "tritonclient-grpc"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    peer = Path(__file__).with_name("tritonclient_grpc_peer.py")
    ran = subprocess.run(
        [made.stdout.strip(), peer, address(server), SECRET],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "tritonclient is served over gRPC" == ran.stdout.strip().splitlines()[-1], ran.stdout
