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
from rich.console import Console

from trimtab.cli.drift import REFERENCE_ROWS, _reference, told
from trimtab.cli.main import cli
from trimtab.cli.session import Session
from trimtab.store.columnar import read_batches


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


def test_one_text_does_not_make_text_of_a_files_numbers(files: Path, tmp_path: Path) -> None:
    frame = table(1_000, 2).to_pandas().astype({"amount": object})
    frame.loc[:29, "amount"] = "unknown"
    frame.to_csv(tmp_path / "odd.csv", index=False)
    found = said(run(files, str(tmp_path / "odd.csv"), "--ignore", "day", "--json"))
    assert "amount" in found["quality"]["flagged"]
    assert "3 % of values are not a number" in found["quality"]["words"]
    amounts = next(c for c in found["comparisons"] if c["name"] == "amount")
    assert "missing 0 % → 3 %" in amounts["words"]
    kept = [str(tmp_path / "odd.csv")] * 2
    told_so = CliRunner().invoke(cli, ["drift", *kept, "--type", "amount=numeric", "--json"])
    assert STEADY == told_so.exit_code
    assert ["missing 3 % → 3 %"] == [
        c["words"] for c in said(told_so)["comparisons"] if c["name"] == "amount"
    ]


def test_a_long_reference_is_thinned_evenly(tmp_path: Path) -> None:
    rows = 5 * REFERENCE_ROWS
    path = tmp_path / "long.parquet"
    parquet.write_table(pa.table({"x": np.arange(rows)}), path)
    kept = _reference(read_batches(path))["x"].to_numpy()
    assert REFERENCE_ROWS < len(kept) <= 2 * REFERENCE_ROWS
    assert {4} == set(np.diff(kept).tolist())
    assert (0, rows - 4) == (kept[0], kept[-1])


def broken(of: str) -> pa.Table:
    """A window with one fault."""
    rng = np.random.default_rng(8)
    good = table(600, 4).drop_columns(["day"])
    amount = good["amount"].to_numpy()
    columns = {
        "missing": ("amount", pa.array([None] * 600, pa.float64())),
        "constant": ("amount", np.ones(600)),
        "infinite": ("amount", np.where(np.arange(600) < 60, np.inf, amount)),
        "mixed": ("amount", pa.array([f"{a}" if i % 2 else "n/a" for i, a in enumerate(amount)])),
        "exploded": ("country", pa.array([f"c{i}" for i in rng.permutation(600)])),
    }
    if of in columns:
        name, values = columns[of]
        at = good.column_names.index(name)
        return good.set_column(at, name, pa.array(values))
    return {
        "empty": good.slice(0, 0),
        "few": good.slice(0, 20),
        "replayed": pa.concat_tables([good, good.slice(0, 200)]),
    }[of]


@pytest.mark.parametrize(
    ("of", "status", "words"),
    [
        ("missing", DRIFTED, "missing 0 % → 100 %"),
        ("constant", DRIFTED, "is always 1"),
        ("infinite", STEADY, "infinite in 10 %"),
        ("mixed", DRIFTED, "100 % of values are not a number"),
        ("exploded", DRIFTED, "and others are new, 100 % of rows"),
        ("empty", STEADY, "Not enough data: 0 rows, 30 are needed."),
        ("few", STEADY, "Not enough data: 20 rows, 30 are needed."),
        (
            "replayed",
            STEADY,
            "duplicate_rows: 25 % of rows repeat another row, 0 % in the reference",
        ),
    ],
)
def test_bad_data_is_named(files: Path, of: str, status: int, words: str) -> None:
    parquet.write_table(broken(of), files / f"{of}.parquet")
    threshold = ["--threshold", "0.3"] if status == STEADY else []
    done = run(files, f"{of}.parquet", "--ignore", "day", *threshold)
    assert status == done.exit_code, done.output
    assert words in done.output


@pytest.mark.parametrize(
    ("rows", "words"), [(0, "has no rows"), (1, "steady"), (60, "steady"), (99, "steady")]
)
def test_a_short_reference_is_compared_and_an_empty_one_refused(
    files: Path, tmp_path: Path, rows: int, words: str
) -> None:
    path = tmp_path / "short.parquet"
    parquet.write_table(table(3_000, 1).slice(0, rows), path)
    done = CliRunner().invoke(
        cli, ["drift", str(path), str(files / "same.parquet"), "--ignore", "day"]
    )
    assert words in done.output
    assert (STEADY if rows else REFUSED) == done.exit_code


def test_a_long_file_tells_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "long.parquet"
    parquet.write_table(pa.table({"x": np.zeros(1_500_000, dtype=np.int8)}), path)
    session = Session(None, None, as_json=False)
    assert 1_500_000 == sum(batch.num_rows for batch in told(session, "comparing", path))
    assert "comparing: 1,376,256 rows" in capsys.readouterr().err
    quiet = Session(None, None, as_json=True)
    assert 23 == sum(1 for _ in told(quiet, "comparing", path))
    assert "" == capsys.readouterr().err


def test_on_a_terminal_there_is_a_bar(tmp_path: Path) -> None:
    path = tmp_path / "long.parquet"
    parquet.write_table(pa.table({"x": np.zeros(200_000, dtype=np.int8)}), path)
    session = Session(None, None, as_json=False)
    shown = tmp_path / "terminal"
    with shown.open("w", encoding="utf-8") as file:
        session.console = Console(file=file, force_terminal=True, width=100)
        assert 4 == sum(1 for _ in told(session, "comparing", path))
    text = shown.read_text(encoding="utf-8")
    assert "comparing" in text
    assert "200,000 of 200,000" in text
    assert "rows/s" in text
