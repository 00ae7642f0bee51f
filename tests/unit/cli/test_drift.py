"""`trimtab drift`: what its options select, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from trimtab.cli.drift import REFERENCE_ROWS, _reference
from trimtab.cli.main import cli


def table(rows: int, seed: int, scale: float = 1.0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "day": np.arange(rows) * 60.0,
            "amount": rng.lognormal(3, 1, rows) * scale,
            "zip": rng.choice([101, 102, 909], rows),
            "country": rng.choice(["de", "fr"], rows),
        }
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drift")
    parquet.write_table(table(3_000, 1), folder / "old.parquet")
    parquet.write_table(table(1_000, 2), folder / "same.parquet")
    parquet.write_table(table(1_000, 3, scale=1.3), folder / "moved.parquet")
    return folder


def run(files: Path, current: str, *options: str) -> Result:
    names = [str(files / "old.parquet"), str(files / current)]
    return CliRunner().invoke(cli, ["drift", *names, *options])


def said(done: Result) -> Any:
    return json.loads(done.output)


STEADY, DRIFTED, REFUSED = 0, 3, 2


@pytest.mark.parametrize(
    ("current", "options", "status"),
    [
        ("same.parquet", ["--ignore", "day"], STEADY),
        ("moved.parquet", ["--ignore", "day"], DRIFTED),
        ("moved.parquet", ["--time", "day"], DRIFTED),
        ("moved.parquet", ["--column", "zip", "--column", "country"], STEADY),
        ("moved.parquet", ["--ignore", "day", "--threshold", "0.5"], STEADY),
        ("moved.parquet", ["--ignore", "day", "--min-rows", "5000"], STEADY),
        ("moved.parquet", ["--ignore", "nothing"], REFUSED),
        ("moved.parquet", ["--column", "nothing"], REFUSED),
        ("moved.parquet", ["--time", "nothing"], REFUSED),
        ("moved.parquet", ["--type", "zip"], REFUSED),
        ("moved.parquet", ["--type", "zip=colour"], REFUSED),
        ("moved.parquet", ["--type", "nothing=numeric"], REFUSED),
        ("moved.parquet", ["--segment-by", "nothing"], REFUSED),
        ("moved.parquet", ["--segment-by", "amount"], REFUSED),
        ("moved.parquet", ["--multivariate", "magic"], REFUSED),
    ],
)
def test_the_exit_status_is_the_gate(
    files: Path, current: str, options: list[str], status: int
) -> None:
    done = run(files, current, *options)
    assert status == done.exit_code, done.output
    assert "Traceback" not in done.output


def test_json_has_everything(files: Path) -> None:
    found = said(
        run(
            files, "moved.parquet", "--ignore", "day", "--json", "--segment-by", "country",
            "--type", "zip=categorical", "--unit", "amount=EUR",
        )
    )  # fmt: skip
    assert [True, ["amount"]] == [found["drifted"], found["flagged"]]
    assert {"country = de", "country = fr"} == set(found["segments"])
    assert "EUR" in found["words"]
    assert "data_quality" == found["quality"]["subject"]


def test_faults_fail_the_gate_only_when_asked(files: Path) -> None:
    broken = table(1_000, 2).set_column(
        2, "zip", pa.array([None] * 30 + table(1_000, 2)["zip"].to_pylist()[30:])
    )
    parquet.write_table(broken, files / "broken.parquet")
    options = ["--ignore", "day", "--threshold", "0.5"]
    assert STEADY == run(files, "broken.parquet", *options).exit_code
    assert DRIFTED == run(files, "broken.parquet", *options, "--fail-on-faults").exit_code


def test_a_long_reference_is_thinned_evenly(tmp_path: Path) -> None:
    rows = 5 * REFERENCE_ROWS
    path = tmp_path / "long.parquet"
    parquet.write_table(pa.table({"x": np.arange(rows)}), path)
    kept = _reference(path)["x"].to_numpy()
    assert REFERENCE_ROWS < len(kept) <= 2 * REFERENCE_ROWS
    assert {4} == set(np.diff(kept).tolist())
    assert (0, rows - 4) == (kept[0], kept[-1])
