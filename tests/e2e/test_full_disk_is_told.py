"""While the journal takes nothing, whoever asks how a model is hears it, and no longer than that."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.e2e.clients import metric
from tests.e2e.conftest import Running, Start, registered
from tests.e2e.test_supervisor_keeps_its_tree import WORKER, pids

from trimtab.cli.main import cli

ROW = {"features": {"amount": 5.0, "visits": 1, "country": "nl"}}


def told(server: Running) -> list[tuple[str, list[str]]]:
    """Health and its reasons, as the command line and the two forms over HTTP say it."""
    shown = CliRunner().invoke(cli, ["status", "--config", str(server.config), "--json"])
    assert 0 == shown.exit_code
    with server.client as client:
        both = client.get("/api/v1/models").json()[0], client.get("/models/risk.json").json()
        page = client.get("/").text
    found = [(one["health"], one["because"]) for one in (json.loads(shown.stdout)[0], *both)]
    assert all(reason in page for _, because in found for reason in because)
    return found


@pytest.mark.parametrize(("on_full", "status"), [("refuse", 503), ("drop", 200)])
def test_status_says_that_the_journal_takes_nothing(
    serve: Start, tmp_path: Path, on_full: str, status: int
) -> None:
    config = registered(tmp_path)
    config.write_text(f'{config.read_text()}\n[journal]\non_full = "{on_full}"\n')
    server = serve(config)
    (worker,) = pids(server, WORKER)
    _, hard = limits = resource.prlimit(worker, resource.RLIMIT_FSIZE)
    with server.client as client:
        assert 200 == client.post("/models/risk/predict", json=ROW).status_code
        assert [("healthy", [])] * 3 == told(server)
        assert 0.0 == metric(client, "ml_journal_failing")
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (1, hard))
        assert status == client.post("/models/risk/predict", json=ROW).status_code
        then = "predictions are refused" if status == 503 else "answers are given and not recorded"
        folder = tmp_path / "state" / "journal"
        why = f"The journal in {folder} cannot be written: {then}. Is its disk full?"
        assert [("act", [why])] * 3 == told(server)
        assert 1.0 == metric(client, "ml_journal_failing")
        resource.prlimit(worker, resource.RLIMIT_FSIZE, limits)
        assert 200 == client.post("/models/risk/predict", json=ROW).status_code
        assert [("healthy", [])] * 3 == told(server)
        assert 0.0 == metric(client, "ml_journal_failing")
