"""Every field that the Open Inference Protocol requires, as the published specification lists it.

Source: the REST and gRPC descriptions of https://github.com/kserve/open-inference-protocol, its binary
tensor data extension, and the model repository extension as Triton publishes it.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from trimtab.serve.rpc.messages import message, methods

TENSORS: list[dict[str, Any]] = [
    {"name": "amount", "datatype": "FP64", "shape": [2], "data": [20.0, 1.5]},
    {"name": "visits", "datatype": "INT64", "shape": [2], "data": [3, 4]},
    {"name": "country", "datatype": "BYTES", "shape": [2], "data": ["nl", "fr"]},
]
ASK = {"inputs": TENSORS}
DATATYPES = {
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BYTES",
}  # fmt: skip


def found(value: Any, path: str) -> list[Any]:
    """All values at a path; ``*`` stands for every member of a list."""
    values = [value]
    for step in path.split("."):
        values = (
            [member for one in values for member in one]
            if step == "*"
            else [one[step] for one in values]
        )
    return values


REQUIRED = [
    # $metadata_server_response
    ("GET", "/v2", None, "name", str),
    ("GET", "/v2", None, "version", str),
    ("GET", "/v2", None, "extensions", list),
    ("GET", "/v2", None, "extensions.*", str),
    # $metadata_model_response
    ("GET", "/v2/models/risk", None, "name", str),
    ("GET", "/v2/models/risk", None, "versions.*", str),
    ("GET", "/v2/models/risk", None, "platform", str),
    ("GET", "/v2/models/risk", None, "inputs.*.name", str),
    ("GET", "/v2/models/risk", None, "inputs.*.datatype", str),
    ("GET", "/v2/models/risk", None, "inputs.*.shape.*", int),
    ("GET", "/v2/models/risk", None, "outputs.*.name", str),
    ("GET", "/v2/models/risk", None, "outputs.*.datatype", str),
    ("GET", "/v2/models/risk", None, "outputs.*.shape.*", int),
    ("GET", "/v2/models/risk/versions/1", None, "name", str),
    # $ready_model_response
    ("GET", "/v2/models/risk/ready", None, "name", str),
    ("GET", "/v2/models/risk/ready", None, "ready", bool),
    ("GET", "/v2/models/risk/versions/1/ready", None, "ready", bool),
    # $live_server_response, $ready_server_response
    ("GET", "/v2/health/live", None, "live", bool),
    ("GET", "/v2/health/ready", None, "ready", bool),
    # $inference_response
    ("POST", "/v2/models/risk/infer", ASK, "model_name", str),
    ("POST", "/v2/models/risk/infer", ASK, "model_version", str),
    ("POST", "/v2/models/risk/infer", {**ASK, "id": "x"}, "id", str),
    ("POST", "/v2/models/risk/infer", ASK, "outputs.*.name", str),
    ("POST", "/v2/models/risk/infer", ASK, "outputs.*.shape.*", int),
    ("POST", "/v2/models/risk/infer", ASK, "outputs.*.datatype", str),
    ("POST", "/v2/models/risk/infer", ASK, "outputs.*.data", list),
    ("POST", "/v2/models/risk/versions/1/infer", ASK, "outputs.*.data", list),
    # $repository_index_response
    ("POST", "/v2/repository/index", {}, "*.name", str),
    ("POST", "/v2/repository/index", {}, "*.version", str),
    ("POST", "/v2/repository/index", {}, "*.state", str),
    ("POST", "/v2/repository/index", {}, "*.reason", str),
]


@pytest.mark.parametrize(("method", "path", "body", "field", "kind"), REQUIRED)
def test_a_required_field(
    server: Any, method: str, path: str, body: Any, field: str, kind: type
) -> None:
    with server.client as client:
        reply = client.request(method, path, json=body)
    assert (200, "application/json") == (reply.status_code, reply.headers["content-type"])
    values = found(reply.json(), field)
    assert values
    assert {kind} == {type(value) for value in values}


ERRORS: list[tuple[str, str, Any]] = [
    ("GET", "/v2/models/nope", None),
    ("GET", "/v2/models/nope/ready", None),
    ("GET", "/v2/models/risk/versions/9", None),
    ("POST", "/v2/models/nope/infer", ASK),
    ("POST", "/v2/models/risk/infer", {}),
    ("POST", "/v2/repository/index", []),
    ("POST", "/v2/repository/models/risk/load", {}),
    ("POST", "/v2/repository/models/risk/unload", {}),
    ("GET", "/v2/models/risk/config", None),
    ("POST", "/v2/logging", {}),
    ("DELETE", "/v2/models/risk", None),
    ("GET", "/v2/models/risk/infer", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ERRORS)
def test_an_error_is_an_object_whose_error_is_a_text(
    server: Any, method: str, path: str, body: Any
) -> None:
    with server.client as client:
        reply = client.request(method, path, json=body)
    assert 400 <= reply.status_code < 500
    assert "application/json" == reply.headers["content-type"]
    assert isinstance(reply.json()["error"], str)


def test_metadata_names_known_datatypes_and_the_answer_keeps_to_them(server: Any) -> None:
    with server.client as client:
        model = client.get("/v2/models/risk").json()
        answer = client.post("/v2/models/risk/infer", json=ASK).json()
    assert {t["datatype"] for t in [*model["inputs"], *model["outputs"]]} <= DATATYPES
    told = {tensor["name"]: tensor for tensor in model["outputs"]}
    assert list(told) == [tensor["name"] for tensor in answer["outputs"]]
    for tensor in answer["outputs"]:
        assert told[tensor["name"]]["datatype"] == tensor["datatype"]
        assert len(told[tensor["name"]]["shape"]) == len(tensor["shape"])
        assert int(np.prod(tensor["shape"])) == len(tensor["data"])


def test_only_the_outputs_that_were_asked_for_in_their_order(server: Any) -> None:
    asked = {**ASK, "outputs": [{"name": "decision"}, {"name": "score"}]}
    with server.client as client:
        answer = client.post("/v2/models/risk/infer", json=asked).json()
    assert ["decision", "score"] == [tensor["name"] for tensor in answer["outputs"]]


def test_data_may_be_nested_or_flat(server: Any) -> None:
    flat = [{**tensor, "shape": [2, 1]} for tensor in TENSORS]
    nested = [{**tensor, "data": [[value] for value in tensor["data"]]} for tensor in flat]
    with server.client as client:
        replies = [
            client.post("/v2/models/risk/infer", json={"inputs": inputs}).json()["outputs"][0]
            for inputs in (TENSORS, flat, nested)
        ]
    assert [replies[0]["data"]] * 3 == [reply["data"] for reply in replies]


def test_binary_data_of_single_inputs_and_outputs(server: Any) -> None:
    """The extension: sizes in the JSON, data behind it in the order of tensors, both lengths in headers."""
    texts = b"".join(struct.pack("<I", len(text)) + text for text in (b"nl", b"fr"))
    country = {k: v for k, v in TENSORS[2].items() if k != "data"}
    country["parameters"] = {"binary_data_size": len(texts)}
    outputs = [
        {"name": "score", "parameters": {"binary_data": True}},
        {"name": "version", "parameters": {"binary_data": False}},
        {"name": "decision", "parameters": {"binary_data": True}},
    ]
    head = json.dumps({"inputs": [*TENSORS[:2], country], "outputs": outputs}).encode()
    with server.client as client:
        reply = client.post(
            "/v2/models/risk/infer",
            content=head + texts,
            headers={
                "inference-header-content-length": str(len(head)),
                "content-type": "application/octet-stream",
            },
        )
    assert (200, "application/octet-stream") == (reply.status_code, reply.headers["content-type"])
    length = int(reply.headers["inference-header-content-length"])
    score, version, decision = json.loads(reply.content[:length])["outputs"]
    sizes = [t["parameters"]["binary_data_size"] for t in (score, decision)]
    assert len(reply.content) == length + sum(sizes)
    assert ([1, 1], False) == (version["data"], "data" in score)
    assert 2 == len(np.frombuffer(reply.content[length : length + sizes[0]], "<f8"))
    (first,) = struct.unpack_from("<I", reply.content, length + sizes[0])
    assert 0 < first < sizes[1]


FIELDS = {
    "ServerLiveResponse": {"live": 1},
    "ServerReadyResponse": {"ready": 1},
    "ModelReadyRequest": {"name": 1, "version": 2},
    "ModelReadyResponse": {"ready": 1},
    "ServerMetadataResponse": {"name": 1, "version": 2, "extensions": 3},
    "ModelMetadataRequest": {"name": 1, "version": 2},
    "ModelMetadataResponse": {"name": 1, "versions": 2, "platform": 3, "inputs": 4, "outputs": 5},
    "ModelMetadataResponse.TensorMetadata": {"name": 1, "datatype": 2, "shape": 3},
    "ModelInferRequest": {
        "model_name": 1, "model_version": 2, "id": 3, "parameters": 4, "inputs": 5, "outputs": 6,
        "raw_input_contents": 7,
    },
    "ModelInferRequest.InferInputTensor": {
        "name": 1, "datatype": 2, "shape": 3, "parameters": 4, "contents": 5,
    },
    "ModelInferRequest.InferRequestedOutputTensor": {"name": 1, "parameters": 2},
    "ModelInferResponse": {
        "model_name": 1, "model_version": 2, "id": 3, "parameters": 4, "outputs": 5,
        "raw_output_contents": 6,
    },
    "ModelInferResponse.InferOutputTensor": {
        "name": 1, "datatype": 2, "shape": 3, "parameters": 4, "contents": 5,
    },
    "InferParameter": {
        "bool_param": 1, "int64_param": 2, "string_param": 3, "double_param": 4, "uint64_param": 5,
    },
    "InferTensorContents": {
        "bool_contents": 1, "int_contents": 2, "int64_contents": 3, "uint_contents": 4,
        "uint64_contents": 5, "fp32_contents": 6, "fp64_contents": 7, "bytes_contents": 8,
    },
    "RepositoryIndexRequest": {"repository_name": 1, "ready": 2},
    "RepositoryIndexResponse.ModelIndex": {"name": 1, "version": 2, "state": 3, "reason": 4},
    "RepositoryModelLoadRequest": {"repository_name": 1, "model_name": 2, "parameters": 3},
    "RepositoryModelUnloadRequest": {"repository_name": 1, "model_name": 2, "parameters": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_the_field_numbers_of_a_grpc_message(name: str) -> None:
    described = message(name).DESCRIPTOR.fields
    assert FIELDS[name] == {field.name: field.number for field in described}


def test_the_methods_of_the_grpc_service() -> None:
    assert {
        "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer",
        "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload",
    } == {name for name, _, _ in methods()}  # fmt: skip
