"""Payloads turned off per field: the value is nowhere on disk, and whoever reads the journal knows why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from tests.e2e.clients import eventually, rows_of, watched
from tests.e2e.conftest import Running, Start, frame, registered

SECRET = "a-land-that-nobody-may-read-of"


NAMED = """
[models.risk]
withhold = ["country"]

[journal]
compact_after_seconds = 0
"""
SENSITIVE = """
[journal]
compact_after_seconds = 0
withhold = ["personal", "secret"]

[features.views.visitors]
request = [{ name = "country", kind = "categorical", sensitivity = "personal" }]
"""


def withholding(folder: Path, settings: str) -> Path:
    path = registered(folder)
    path.write_text(path.read_text() + settings)
    return path


def trimtab(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trimtab.cli", *arguments, "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def holders(folder: Path) -> list[str]:
    """The files in which the secret stands."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if SECRET.encode() in path.read_bytes()]


def send(server: Running) -> None:
    """An hour of traffic, and a record that closes its window."""
    rows = [
        {"features": {**row, "country": SECRET}, "event_time": 1.7e9 + 36 * i, "key": f"u{i}"}
        for i, row in enumerate(rows_of(frame(200, seed=3)))
    ]
    with server.client as client:
        for start in (0, 100):
            reply = client.post("/models/risk/predict", json={"rows": rows[start : start + 100]})
            assert 200 == reply.status_code, reply.text
        # What it asks, a client is told; only the journal is not.
        asked = {**rows[0], "provenance": True}
        told = client.post("/models/risk/predict", json=asked).json()
    assert SECRET == told["predictions"][0]["features"]["country"]["value"]


def comparisons(server: Running, subject: str) -> dict[str, dict[str, Any]]:
    """By name, once there is a verdict; none of them is about what cannot be known."""
    with server.client as client:
        found = client.get("/api/v1/models/risk/verdicts", params={"subject": subject}).json()
    if not found:
        return {}
    assert "country" not in found[0]["flagged"]
    return {one["name"]: one for one in found[0]["comparisons"]}


@pytest.mark.parametrize("settings", [NAMED, SENSITIVE], ids=["by name", "by sensitivity"])
def test_a_withheld_value_is_nowhere_and_everybody_knows_why(
    tmp_path: Path, serve: Start, settings: str
) -> None:
    config = withholding(tmp_path, settings)
    server = serve(config)
    send(server)
    eventually(lambda: watched(server)[0], lambda seen: seen == 201)
    assert [] == holders(tmp_path)

    for subject in ("data_drift", "data_quality"):
        seen = eventually(lambda subject=subject: comparisons(server, subject), bool)  # type: ignore[misc]
        country = seen["country"]
        assert ("withheld from the journal", 0.0, None) == (
            country["words"], country["score"], country["p_value"],
        )  # fmt: skip
        assert "withheld" not in seen["amount"]["words"]

    said = trimtab(config, "journal", "cat", "--limit", "1")
    row = json.loads(said.stdout)
    assert (["country"], None) == (row["withheld"], row["features"]["country"])
    assert {"q", "-"} >= set(row["sources"])
    out = tmp_path / "out.parquet"
    assert 0 == trimtab(config, "journal", "export", "risk", str(out)).returncode
    table = pq.read_table(out)
    assert {("country",)} == {tuple(names) for names in table["_withheld"].to_pylist()}
    assert {None} == set(table["country"].to_pylist())
    assert {"q", "-"} == set("".join(table["_sources"].to_pylist()))

    server.process.terminate()
    server.process.wait(30)
    assert 0 == trimtab(config, "journal", "compact").returncode
    assert 1 == len(list((tmp_path / "state" / "journal" / "parts").rglob("*.parquet")))
    assert [] == holders(tmp_path)
    assert row == json.loads(trimtab(config, "journal", "cat", "--limit", "1").stdout)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('withhold = ["contry"]', "takes no such feature"),
        ('withhold = ["country"]\nsegment_by = "country"', "nothing is watched by it"),
    ],
    ids=["misspelt", "watched by"],
)
def test_a_setting_that_cannot_hold_is_refused(
    tmp_path: Path, serve: Start, setting: str, words: str
) -> None:
    config = registered(tmp_path)
    config.write_text(config.read_text() + f"\n[models.risk]\n{setting}\n")
    checked = trimtab(config, "config", "check")
    if checked.returncode == 0:  # what is wrong depends on the model: it is not served
        url = serve(config).url
        asked = {"features": {"amount": 1.0, "visits": 1, "country": "nl"}}
        refused = httpx.post(f"{url}/models/risk/predict", json=asked)
        assert (503, "model_not_loaded") == (refused.status_code, refused.json()["error"]["code"])
        assert words in (tmp_path / "server.log").read_text()
    else:
        assert words in checked.stderr
