"""Run in an environment with tritonclient alone: asks a server as its users would. Usage: peer HOST:PORT."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

COLUMNS = {
    "amount": ("FP64", np.array([20.0, np.nan, 900.0])),
    "visits": ("INT64", np.array([3, 0, 19])),
    "country": ("BYTES", np.array([b"nl", b"de", b"fr"], dtype=object)),
}


def asked(client: triton.InferenceServerClient, *, binary: bool) -> dict[str, list[Any]]:
    inputs = []
    for name, (datatype, values) in COLUMNS.items():
        inputs.append(triton.InferInput(name, list(values.shape), datatype))
        # The client's JSON knows no NaN, so the row without an amount goes in binary only.
        inputs[-1].set_data_from_numpy(values, binary_data=binary or name == "amount")
    outputs = [
        triton.InferRequestedOutput(name, binary_data=binary) for name in ("score", "decision")
    ]
    reply = client.infer("risk", inputs, request_id="r-1", outputs=outputs)
    assert "r-1" == reply.get_response()["id"]
    assert "1" == reply.get_response()["model_version"]
    return {name: reply.as_numpy(name).tolist() for name in ("score", "decision")}


def main(address: str) -> None:
    client = triton.InferenceServerClient(address)
    ready = [client.is_server_live(), client.is_server_ready(), client.is_model_ready("risk")]
    assert [True] * 3 == ready
    assert "trimtab" == client.get_server_metadata()["name"]
    known = client.get_model_metadata("risk", "1")
    assert list(COLUMNS) == [tensor["name"] for tensor in known["inputs"]], known
    assert not client.is_model_ready("nope")
    binary, json = asked(client, binary=True), asked(client, binary=False)
    assert [True] * 3 == [0 <= score <= 1 for score in binary["score"]]
    assert binary["score"] == json["score"]
    assert [text.decode() for text in binary["decision"]] == [
        text.decode() if isinstance(text, bytes) else text for text in json["decision"]
    ]
    assert "No model 'nope' is deployed" in refused(client)
    if len(sys.argv) > 2:
        reloaded(client, {"authorization": f"Bearer {sys.argv[2]}"})
    sys.stdout.write("tritonclient is served\n")


def reloaded(client: triton.InferenceServerClient, headers: dict[str, str]) -> None:
    entry = {"name": "risk", "version": "1", "state": "READY", "reason": ""}
    assert entry in client.get_model_repository_index()
    client.unload_model("risk", headers=headers)
    assert not client.is_model_ready("risk")
    client.load_model("risk", headers=headers)
    assert client.is_model_ready("risk")
    assert entry in client.get_model_repository_index()
    asked(client, binary=True)


def refused(client: triton.InferenceServerClient) -> str:
    try:
        client.infer("nope", [])
    except InferenceServerException as told:
        return str(told)
    return "an unknown model answered"


if __name__ == "__main__":
    main(sys.argv[1])
