"""The Open Inference Protocol over REST: JSON and binary tensors, metadata, errors, an unmodified client."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
INFER = "/v2/models/risk/infer"


def tensor(name: str, datatype: str, data: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


AMOUNT = tensor("amount", "FP64", [20.0, None])
VISITS = tensor("visits", "INT32", [3, 4])
COUNTRY = tensor("country", "BYTES", ["nl", "fr"])
GOOD = [AMOUNT, VISITS, COUNTRY]


def ask(*inputs: dict[str, Any], **rest: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **rest}).encode()


def test_tensors_and_plain_rows_have_the_same_answers(server: Any) -> None:
    rows = [
        {"features": {"amount": 20.0, "visits": 3, "country": "nl"}},
        {"features": {"visits": 4, "country": "fr"}},
    ]
    with server.client as client:
        plain = client.post("/models/risk/predict", json={"rows": rows}).json()["predictions"]
        reply = client.post(INFER, content=ask(*GOOD, id="mine"))
        pinned = client.post("/v2/models/risk/versions/1/infer", content=ask(*GOOD))
    answer = reply.json()
    found = {output["name"]: output for output in answer["outputs"]}
    assert ("risk", "1", "mine") == (answer["model_name"], answer["model_version"], answer["id"])
    assert [row["score"] for row in plain] == found["score"]["data"]
    assert [value for row in plain for value in row["outputs"]] == found["outputs"]["data"]
    assert [2, 2] == found["outputs"]["shape"]
    assert [row["decision"] for row in plain] == found["decision"]["data"]
    assert found["score"] == pinned.json()["outputs"][0]


def test_binary_tensors_in_and_out(server: Any) -> None:
    texts = b"".join(struct.pack("<I", 2) + text for text in (b"nl", b"fr"))
    blobs = [np.array([20.0, np.nan], "<f4").tobytes(), np.array([3, 4], "<u2").tobytes(), texts]
    inputs = [
        {
            "name": name,
            "datatype": datatype,
            "shape": [2, 1],
            "parameters": {"binary_data_size": len(blob)},
        }
        for (name, datatype), blob in zip(
            [("amount", "FP32"), ("visits", "UINT16"), ("country", "BYTES")], blobs, strict=True
        )
    ]
    head = ask(*inputs, parameters={"binary_data_output": True}, outputs=[{"name": "score"}])
    with server.client as client:
        as_json = client.post(INFER, content=ask(*GOOD)).json()
        reply = client.post(
            INFER,
            content=b"".join([head, *blobs]),
            headers={"inference-header-content-length": str(len(head))},
        )
    length = int(reply.headers["inference-header-content-length"])
    told = json.loads(reply.content[:length])["outputs"]
    assert [{"binary_data_size": 16}] == [output["parameters"] for output in told]
    assert as_json["outputs"][0]["data"] == np.frombuffer(reply.content[length:], "<f8").tolist()


def test_what_comes_with_a_row_is_recorded(server: Any) -> None:
    keyed = [
        tensor("trimtab.key", "BYTES", ["a", "b"]),
        tensor("trimtab.prediction_id", "BYTES", ["pay-1", "pay-2"]),
        tensor("trimtab.event_time", "FP64", [1.7e9, 1.7e9]),
    ]
    with server.client as client:
        answer = client.post(INFER, content=ask(*GOOD, *keyed)).json()
        told = client.post(
            "/models/risk/outcomes",
            json={"outcomes": [{"prediction_id": f"pay-{i}", "value": "bad"} for i in (1, 2)]},
        )
    found = {output["name"]: output["data"] for output in answer["outputs"]}
    assert ["pay-1", "pay-2"] == found["prediction_id"]
    assert 200 == told.status_code
    assert ["recorded"] * 2 == [receipt["status"] for receipt in told.json()["outcomes"]]


def test_metadata_and_readiness(server: Any) -> None:
    with server.client as client:
        about = client.get("/v2").json()
        model = client.get("/v2/models/risk").json()
        ready = client.get("/v2/models/risk/versions/1/ready")
        unknown = client.get("/v2/models/nope/ready")
    assert "trimtab" == about["name"]
    assert {"binary_tensor_data", "model_repository"} <= set(about["extensions"])
    assert {"amount": "FP64", "visits": "INT64", "country": "BYTES"} == {
        told["name"]: told["datatype"] for told in model["inputs"]
    }
    assert ["1"] == model["versions"]
    assert [-1, 2] == model["outputs"][1]["shape"]
    assert (200, 404) == (ready.status_code, unknown.status_code)
    assert "'nope'" in unknown.json()["error"]


BAD: list[tuple[str, bytes, int, str]] = [
    ("malformed JSON", b'{"inputs": [', 400, "malformed_json"),
    ("no inputs field", b"{}", 400, "invalid_shape"),
    ("no inputs", ask(), 400, "invalid_tensor"),
    ("inputs are an object", b'{"inputs": {}}', 400, "invalid_shape"),
    ("unknown datatype", ask({**AMOUNT, "datatype": "FP8"}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("shape and data differ", ask({**AMOUNT, "shape": [3]}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("negative shape", ask({**AMOUNT, "shape": [-1]}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("no shape", ask({**AMOUNT, "shape": []}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("huge shape", ask({**AMOUNT, "shape": [2**40]}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("three dimensions", ask({**AMOUNT, "shape": [1, 1, 2]}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("hundreds of dimensions", ask({**AMOUNT, "shape": [2**62] * 300}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("beyond any float", ask(*GOOD, tensor("trimtab.event_time", "FP64", [10**400, 0])), 400, "invalid_tensor"),
    ("rows differ", ask(AMOUNT, VISITS, tensor("country", "BYTES", ["nl"])), 400, "invalid_tensor"),
    ("no rows", ask(tensor("amount", "FP64", [], [0])), 400, "invalid_tensor"),
    ("text in numbers", ask(tensor("amount", "FP64", [1.0, "x"]), VISITS, COUNTRY), 400, "invalid_tensor"),
    ("truth in numbers", ask(tensor("amount", "FP64", [1.0, True]), VISITS, COUNTRY), 400, "invalid_tensor"),
    ("fraction in integers", ask(AMOUNT, tensor("visits", "INT32", [1, 2.5]), COUNTRY), 400, "invalid_tensor"),
    ("beyond the datatype", ask(AMOUNT, tensor("visits", "UINT8", [1, 300]), COUNTRY), 400, "invalid_tensor"),
    ("number in text", ask(AMOUNT, VISITS, tensor("country", "BYTES", ["nl", 3])), 400, "invalid_tensor"),
    ("ragged lists", ask({**AMOUNT, "shape": [2, 1], "data": [[1.0], 2.0]}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("deep lists", ask({**AMOUNT, "shape": [2, 1], "data": [[[1.0]], [[2.0]]]}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("no data", ask({k: v for k, v in AMOUNT.items() if k != "data"}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("the same name twice", ask(AMOUNT, AMOUNT, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("binary that is not there", ask({**AMOUNT, "parameters": {"binary_data_size": 16}}, VISITS, COUNTRY), 400, "invalid_tensor"),
    ("integer beyond 2^53", ask(AMOUNT, tensor("visits", "INT64", [1, 2**53 + 1]), COUNTRY), 422, "inexact"),
    ("wrong kind", ask(tensor("amount", "BYTES", ["a", "b"]), VISITS, COUNTRY), 422, "wrong_type"),
    ("missing feature", ask(AMOUNT, COUNTRY), 422, "missing_feature"),
    ("unknown feature", ask(*GOOD, tensor("colour", "FP64", [1.0, 2.0])), 422, "unknown_feature"),
    ("a matrix for text", ask(tensor("x", "FP64", [1.0] * 6, [2, 3])), 400, "invalid_tensor"),
    ("unknown output", ask(*GOOD, outputs=[{"name": "logit"}]), 400, "unknown_output"),
    ("one id for two rows", ask(*GOOD, parameters={"prediction_id": "x"}), 400, "invalid_tensor"),
    ("negative deadline", ask(*GOOD, parameters={"deadline_ms": -1}), 400, "invalid_shape"),
    ("empty key", ask(*GOOD, tensor("trimtab.key", "BYTES", ["", "b"])), 400, "invalid_tensor"),
    ("text for a time", ask(*GOOD, tensor("trimtab.event_time", "BYTES", ["x", "y"])), 400, "invalid_tensor"),
    ("too many rows", ask(tensor("amount", "FP64", [1.0] * 101)), 413, "too_many_rows"),
    ("too large", b" " * 100_001, 413, "body_too_large"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_bad_tensors(server: Any, body: bytes, status: int, code: str) -> None:
    with server.client as client:
        reply = client.post(INFER, content=body)
    error = reply.json()
    assert (status, code) == (reply.status_code, error["code"])
    assert isinstance(error["error"], str)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"inference-header-content-length": "x"}, 400, "invalid_tensor"),
        ({"inference-header-content-length": "-1"}, 400, "invalid_tensor"),
        ({"inference-header-content-length": "0"}, 400, "invalid_tensor"),
        ({"inference-header-content-length": "999999"}, 400, "invalid_tensor"),
        ({"inference-header-content-length": "20"}, 400, "malformed_json"),
        ({"content-encoding": "gzip"}, 400, "malformed_encoding"),
        ({"content-encoding": "br"}, 415, "unsupported_media_type"),
        ({"content-type": "text/csv"}, 415, "unsupported_media_type"),
    ],
)
def test_bad_headers(server: Any, headers: dict[str, str], status: int, code: str) -> None:
    with server.client as client:
        reply = client.post(INFER, content=ask(*GOOD), headers=headers)
    assert (status, code) == (reply.status_code, reply.json()["code"])


@pytest.mark.parametrize(
    "cut",
    [
        struct.pack("<I", 9) + b"nl",
        b"\x02\x00",
        struct.pack("<I", 1) + b"\xff",
        b"",
        struct.pack("<I", 2) + b"nl" + struct.pack("<I", 9) + b"fr",
    ],
    ids=["longer than the rest", "half a length", "not UTF-8", "nothing", "the last is longer"],
)
def test_texts_that_are_cut_off(server: Any, cut: bytes) -> None:
    country = {**COUNTRY, "parameters": {"binary_data_size": len(cut)}}
    del country["data"]
    head = ask(AMOUNT, VISITS, country)
    with server.client as client:
        reply = client.post(
            INFER,
            content=head + cut,
            headers={"inference-header-content-length": str(len(head))},
        )
    assert (400, "invalid_tensor") == (reply.status_code, reply.json()["code"])


def test_bytes_that_belong_to_no_input(server: Any) -> None:
    head = ask(*GOOD)
    with server.client as client:
        reply = client.post(
            INFER,
            content=head + b"zz",
            headers={"inference-header-content-length": str(len(head))},
        )
    assert (400, "inputs") == (reply.status_code, reply.json()["path"])


def test_unknown_models_and_versions(server: Any) -> None:
    with server.client as client:
        model = client.post("/v2/models/nope/infer", content=ask(*GOOD))
        versions = [
            client.post(f"/v2/models/risk/versions/{name}/infer", content=ask(*GOOD))
            for name in ("2", "x", "01")
        ]
    assert (404, "unknown_model") == (model.status_code, model.json()["code"])
    assert [(404, "version_not_live")] * 3 == [(v.status_code, v.json()["code"]) for v in versions]


def test_an_unmodified_tritonclient_is_served(server: Any) -> None:
    made = subprocess.run(
        [ROOT / "scripts" / "peer-env.sh", "tritonclient"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    ran = subprocess.run(
        [
            made.stdout.strip(),
            Path(__file__).with_name("tritonclient_peer.py"),
            server.url.removeprefix("http://"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "tritonclient is served" == ran.stdout.strip().splitlines()[-1], ran.stdout
