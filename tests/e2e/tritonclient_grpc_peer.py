"""Run in an environment with tritonclient alone: asks over gRPC. Usage: peer HOST:PORT SECRET."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

COLUMNS = {
    "amount": ("FP64", np.array([20.0, np.nan, 900.0])),
    "visits": ("INT64", np.array([3, 0, 19])),
    "country": ("BYTES", np.array([b"nl", b"de", b"fr"], dtype=object)),
}


def asked(client: triton.InferenceServerClient, version: str = "", **more: Any) -> list[float]:
    inputs = []
    for name, (datatype, values) in COLUMNS.items():
        inputs.append(triton.InferInput(name, list(values.shape), datatype))
        inputs[-1].set_data_from_numpy(values)
    outputs = [triton.InferRequestedOutput(name) for name in ("score", "decision", "outputs")]
    reply = client.infer(
        "risk", inputs, model_version=version, request_id="r-1", outputs=outputs, **more
    )
    assert ("r-1", "1") == (reply.get_response().id, reply.get_response().model_version)
    assert 3 == len(reply.as_numpy("decision"))
    assert (3, 2) == reply.as_numpy("outputs").shape
    found: list[float] = reply.as_numpy("score").tolist()
    return found


def typed(client: triton.InferenceServerClient) -> list[float]:
    """The same rows in typed contents, by the client's own stub; NaN is missing in them, too."""
    request = service_pb2.ModelInferRequest(model_name="risk")
    for name, (datatype, values) in COLUMNS.items():
        tensor = request.inputs.add(name=name, datatype=datatype, shape=values.shape)
        field = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
        getattr(tensor.contents, field[datatype]).extend(values.tolist())
    reply = client._client_stub.ModelInfer(request)
    assert not reply.raw_output_contents
    (score,) = (output for output in reply.outputs if output.name == "score")
    return list(score.contents.fp64_contents)


def refused(ask: Any) -> tuple[str, str]:
    try:
        ask()
    except InferenceServerException as told:
        return told.status(), told.message()
    return "no error", ""


def main(address: str, secret: str) -> None:
    client = triton.InferenceServerClient(address)
    ready = [client.is_server_live(), client.is_server_ready(), client.is_model_ready("risk")]
    assert [True] * 3 == ready
    assert [False] * 2 == [client.is_model_ready("nope"), client.is_model_ready("risk", "9")]
    assert "trimtab" == client.get_server_metadata().name
    known = client.get_model_metadata("risk", "1")
    assert list(COLUMNS) == [tensor.name for tensor in known.inputs], known
    scores = asked(client)
    assert [scores] * 3 == [
        asked(client, "1"),
        asked(client, compression_algorithm="gzip", client_timeout=20.0),
        typed(client),
    ]
    with ThreadPoolExecutor(8) as pool:
        assert [scores] * 200 == list(pool.map(lambda _: asked(client), range(200)))

    nothing = triton.InferInput("amount", [1], "FP64")
    nothing.set_data_from_numpy(np.array([1.0]))
    status, said = refused(lambda: client.infer("risk", [nothing]))
    assert "StatusCode.INVALID_ARGUMENT" == status
    assert "'visits' is missing" in said, said
    assert "StatusCode.NOT_FOUND" == refused(lambda: client.infer("nope", [nothing]))[0]
    assert "StatusCode.UNAUTHENTICATED" == refused(lambda: client.unload_model("risk"))[0]
    wrong = refused(lambda: client.load_model("risk", config="{}", headers=token(secret)))
    assert "StatusCode.INVALID_ARGUMENT" == wrong[0], wrong

    entry = {"name": "risk", "version": "1", "state": "READY"}
    assert entry in client.get_model_repository_index(as_json=True)["models"]
    client.unload_model("risk", headers=token(secret))
    assert not client.is_model_ready("risk")
    client.load_model("risk", headers=token(secret))
    assert client.is_model_ready("risk")
    assert scores == asked(client)
    sys.stdout.write("tritonclient is served over gRPC\n")


def token(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


if __name__ == "__main__":
    main(*sys.argv[1:])
