"""A deployed model whose artifact is damaged: said as such, everywhere, until it is repaired."""

from __future__ import annotations

from pathlib import Path

import httpx
from tests.e2e.clients import eventually, metric, overview
from tests.e2e.conftest import Start, registered

ROW = {"features": {"amount": 5.0, "visits": 1, "country": "nl"}}


def test_it_is_unavailable_until_it_is_repaired(serve: Start, tmp_path: Path) -> None:
    config = registered(tmp_path)
    blobs = [path for path in (tmp_path / "state" / "blobs").rglob("*") if path.is_file()]
    kept = {path: path.read_bytes() for path in blobs}
    for path, data in kept.items():
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    server = serve(config)

    with server.client as client:
        reply = client.post("/models/risk/predict", json=ROW)
        assert (503, "model_not_loaded") == (reply.status_code, reply.json()["error"]["code"])
        assert "1" == reply.headers["retry-after"]
        tensors = client.post("/v2/models/risk/infer", json={"inputs": []})
        assert (503, "model_not_loaded") == (tensors.status_code, tensors.json()["code"])
        assert 503 == client.get("/v2/models/risk/ready").status_code
        assert 0.0 == metric(client, "ml_availability_ratio")
    eventually(lambda: overview(server)["health"], lambda seen: seen == "act")
    (why,) = overview(server)["because"]
    assert "risk v1 cannot be loaded: nobody answers" == why
    log = (tmp_path / "server.log").read_text()
    assert 1 == log.count('"event":"routes_failed"')

    for path, data in kept.items():
        path.write_bytes(data)

    def asked() -> int:
        return httpx.post(f"{server.url}/models/risk/predict", json=ROW, timeout=20.0).status_code

    eventually(asked, lambda seen: seen == 200)
    eventually(lambda: overview(server)["health"], lambda seen: seen == "healthy")
