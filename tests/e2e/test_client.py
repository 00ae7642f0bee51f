"""`trimtab.client` and a real server."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.clients import eventually, journal
from tests.e2e.conftest import Start, registered

from trimtab.client import AsyncClient, Client, Retry, RowRequest
from trimtab.errors import InvalidRequest, InvalidRow, NotFound

ROW: dict[str, float | str] = {"amount": 20.0, "visits": 3, "country": "nl"}


def test_predictions_batches_and_outcomes(server: Any) -> None:
    with Client(server.url) as client:
        assert client.is_ready()
        one = client.predict("risk", ROW, key="ann", prediction_id="c-1", provenance=True)
        many = list(client.batch("risk", [ROW, RowRequest(features=ROW)] * 60, chunk_rows=50))
        told = client.outcomes("risk", [("c-1", "bad"), (many[0].prediction_id, 0)])
        names = [tensor["name"] for tensor in client.model("risk")["inputs"]]
    assert ("c-1", 1, "champion") == (one.prediction_id, one.version, one.arm)
    assert one.features is not None
    assert "request" == one.features["amount"].source
    assert [one.score] * 120 == [prediction.score for prediction in many]
    assert ["recorded", "recorded"] == [receipt.status for receipt in told]
    assert ["amount", "visits", "country"] == names


@pytest.mark.anyio
async def test_the_same_awaited(server: Any) -> None:
    async with AsyncClient(server.url) as client:
        assert await client.is_ready()
        one = await client.predict("risk", ROW)
        many = [row.score async for row in client.batch("risk", [ROW] * 3, chunk_rows=2)]
        told = await client.outcome("risk", one.prediction_id, value=True)
    assert [one.score] * 3 == many
    assert "recorded" == told.status


def test_refusals_have_the_servers_words(server: Any) -> None:
    with Client(server.url) as client:
        with pytest.raises(InvalidRow) as row:
            client.predict("risk", {**ROW, "visits": 2.5})
        with pytest.raises(NotFound) as model:
            client.predict("nope", ROW)
        with pytest.raises(NotFound) as outcome:
            client.outcome("risk", "0" * 32, 1)
        with pytest.raises(InvalidRequest) as rows:
            list(client.batch("risk", [ROW] * 101))
    codes = [told.value.code for told in (row, model, outcome, rows)]
    assert ["not_integer", "unknown_model", "unknown_prediction", "too_many_rows"] == codes
    assert "rows[0].features.visits" == row.value.path
    assert "risk" in model.value.hint


def test_a_deadline_that_is_none_is_refused_on_every_way_in(server: Any) -> None:
    with server.client as client:
        replies = [
            client.post(path, json=body, headers={"trimtab-deadline-ms": "soon"})
            for path, body in (
                ("/models/risk/predict", {"features": ROW}),
                ("/models/risk/invocations", {"instances": [ROW]}),
                ("/v2/models/risk/infer", _tensors()),
            )
        ]
    assert [400] * 3 == [reply.status_code for reply in replies]
    assert all("invalid_deadline" in reply.text for reply in replies)


def test_no_call_fails_while_workers_are_killed(serve: Start, tmp_path: Path) -> None:
    running = serve(registered(tmp_path))
    patient = Retry(attempts=12, first_pause_ms=50, longest_pause_ms=500, budget_burst=100)
    answered = []
    with Client(running.url, deadline_ms=30_000, retry=patient) as client:
        for turn in range(60):
            if turn in {20, 40}:
                (worker,) = _workers(running)
                os.kill(worker, signal.SIGKILL)
            answered.append(client.predict("risk", ROW, prediction_id=f"c-{turn}"))
        eventually(lambda: _workers(running), lambda found: len(found) == 1)
    assert [f"c-{turn}" for turn in range(60)] == [one.prediction_id for one in answered]
    assert {f"c-{turn}" for turn in range(60)} == {
        record.prediction_id for record in journal(running.config)
    }


def _workers(running: Any) -> list[int]:
    return [pid for pid, module in running.children().items() if module.endswith("worker")]


def _tensors() -> dict[str, Any]:
    kinds = {"amount": "FP64", "visits": "INT64", "country": "BYTES"}
    return {
        "inputs": [
            {"name": name, "datatype": kinds[name], "shape": [1], "data": [value]}
            for name, value in ROW.items()
        ]
    }
