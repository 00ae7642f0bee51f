from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sklearn.linear_model import LogisticRegression

from trimtab.cli.main import cli
from trimtab.config import JournalConfig, load
from trimtab.record.journal import Journal
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import PredictionRecord, Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register
from trimtab.wiring.retraining import asked

DAY = 86_400.0


def record(number: int, version: int, values: tuple[float, ...]) -> PredictionRecord:
    return PredictionRecord(
        f"{number:032x}", None, number * DAY, float(number), "m", version, "sha256:00", 1, None,
        0, 0.0, "", True, values, "q" * len(values), (None,) * len(values), 0.5, (0.5, 0.5), True,
        1.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions, the second with a feature more, and what they answered."""
    folder = tmp_path_factory.mktemp("state")
    deployment = Deployment.open(load(None, environ={}, overrides={"state.dir": str(folder)}))
    rng = np.random.default_rng(0)
    frame = {name: rng.normal(size=200) for name in ("x", "z")}
    y = rng.integers(0, 2, 200)
    for names in (["x"], ["z", "x"]):
        columns = {name: frame[name] for name in names}
        model = LogisticRegression().fit(np.column_stack(list(columns.values())), y)
        table = pa.table({**columns, "y": y})
        register(
            deployment,
            "m",
            model,
            Training(reference=table, outcome="y", task=Task.BINARY),
            author="t",
        )
    deployment.close()
    journal = Journal(folder / "journal", JournalConfig(), Metrics(), FakeClock())
    journal.append([record(0, 1, (0.5,)), record(1, 2, (7.0, 1.5)), record(2, 2, (8.0, 2.5))])
    journal.close()
    return folder


def test_what_was_asked_of_a_model_is_read_without_outcomes(state: Path) -> None:
    deployment = Deployment.open(load(None, environ={}, overrides={"state.dir": str(state)}))
    second = deployment.version("m", 2)
    table = asked(deployment, second)
    newest = asked(deployment, second, most=1)
    deployment.close()
    assert {"z": [None, 7.0, 8.0], "x": [0.5, 1.5, 2.5]} == table.to_pydict()
    assert {"z": [8.0], "x": [2.5]} == newest.to_pydict()


def run(state: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["journal", *words, "--state", str(state)])


def test_a_journal_without_damage_verifies(state: Path) -> None:
    done = run(state, "verify")
    assert 0 == done.exit_code
    assert "1 segment, 0 parts, 3 records" in done.output
    assert "no damage" in done.output


def test_damage_is_located_and_fails_the_command(state: Path, tmp_path: Path) -> None:
    (source,) = (state / "journal").iterdir()
    data = bytearray(source.read_bytes())
    data[30] ^= 1
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / source.name).write_bytes(data)
    done = run(tmp_path, "verify", "--json")
    found = json.loads(done.output)
    (spot,) = found["segments"][0]["damage"]
    assert (1, 2) == (done.exit_code, found["records"])
    assert ("damaged", 0, found["damaged_bytes"]) == (spot["what"], spot["start"], spot["end"])
    assert not (tmp_path / "state.db").exists()


def test_records_are_shown_with_names_and_chosen(state: Path) -> None:
    lines = [json.loads(line) for line in run(state, "cat").output.splitlines()]
    assert [{"x": 0.5}, {"z": 7.0, "x": 1.5}, {"z": 8.0, "x": 2.5}] == [
        line["features"] for line in lines
    ]
    chosen = json.loads(run(state, "cat", "--since", "1970-01-02", "--limit", "1", "--json").output)
    assert [1 * DAY] == [row["event_time"] for row in chosen]
    assert "" == run(state, "cat", "--model", "other").output


def test_all_versions_are_exported_to_one_table(state: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.parquet"
    assert 0 == run(state, "export", "m", str(out)).exit_code
    table = pq.read_table(out)
    assert [0.5, 1.5, 2.5] == table["x"].to_pylist()
    assert [None, 7.0, 8.0] == table["z"].to_pylist()
    assert [1, 2, 2] == table["_version"].to_pylist()


def test_lines_and_csv_hold_the_same(state: Path, tmp_path: Path) -> None:
    lines, commas = tmp_path / "all.jsonl", tmp_path / "all.csv"
    assert 0 == run(state, "export", "m", str(lines), "--version", "2").exit_code
    assert 0 == run(state, "export", "m", str(commas), "--version", "2").exit_code
    from_lines = [json.loads(line) for line in lines.read_text().splitlines()]
    with commas.open() as file:
        from_csv = list(csv.DictReader(file))
    assert [1.5, 2.5] == [row["x"] for row in from_lines]
    assert ["1.5", "2.5"] == [row["x"] for row in from_csv]
    assert [[0.5, 0.5]] * 2 == [row["_outputs"] for row in from_lines]
    assert ["[0.5,0.5]"] * 2 == [row["_outputs"] for row in from_csv]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("export", "other", "a.parquet"), 1, "no model 'other'"),
        (("export", "m", "a.parquet", "--version", "9"), 1, "no version 9 of 'm'"),
        (("export", "m", "a.txt"), 2, ".parquet, .jsonl, .csv"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    words: tuple[str, ...], status: int, said: str, state: Path
) -> None:
    done = run(state, *words)
    assert status == done.exit_code
    assert said in done.output
