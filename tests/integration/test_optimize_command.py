"""`trimtab optimize` on real files, in processes of its own."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from trimtab.cli.main import cli
from trimtab.compact.artifact import read
from trimtab.schema import columns_from_frame, infer_signature
from trimtab.types import Task

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(1_400, 4))
Y = (X[:, 0] * X[:, 1] + RANDOM.normal(size=1_400) > 0).astype(np.int64)
FRAME = pa.table({name: X[400:, at] for at, name in enumerate("abcd")})
COLUMNS = columns_from_frame(infer_signature(FRAME, task=Task.REGRESSION), FRAME)
FOREST = RandomForestClassifier(20, random_state=0).fit(X[:400], Y[:400])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("optimize")
    joblib.dump(FOREST, folder / "forest.joblib")
    columns = {name: X[400:, at] for at, name in enumerate("abcd")}
    parquet.write_table(pa.table({**columns, "late": Y[400:]}), folder / "rows.parquet")
    parquet.write_table(pa.table({**columns, "late": np.zeros(1_000)}), folder / "one.parquet")
    parquet.write_table(
        pa.table({**columns, "late": np.full(1_000, np.nan)}), folder / "nan.parquet"
    )
    parquet.write_table(pa.table({"a": X[400:, 0], "late": Y[400:]}), folder / "narrow.parquet")
    text = {**columns, "b": [f"{value}" for value in X[400:, 1]]}
    parquet.write_table(pa.table(text), folder / "text.parquet")
    parquet.write_table(
        pa.table({**columns, "late": Y[400:]}).slice(0, 90), folder / "short.parquet"
    )
    return folder


def run(place: Path, *words: str, data: str = "rows.parquet", trust: bool = True) -> Result:
    command = ["optimize", str(place / "forest.joblib"), "--data", str(place / data)]
    command += ["--state", str(place / "state"), *words]
    return CliRunner().invoke(cli, [*command, *(["--trust"] if trust else [])])


def test_a_lossless_plan_is_certified_written_and_shown(place: Path) -> None:
    out, page = place / "small", place / "page.html"
    done = run(place, "--target", "late", "--out", str(out), "--html", str(page), "--json")
    assert (0, "") == (done.exit_code, done.stderr.partition("error")[1])
    certificate = json.loads(done.stdout)["plan"]["certificate"]
    assert certificate["lossless"] is True
    assert (certificate["max_abs"], certificate["path_differences"]) == (0.0, 0)
    assert certificate["after"]["disk_bytes"] < certificate["before"]["disk_bytes"] / 4
    assert certificate["after"]["p50_us"] < certificate["before"]["p50_us"] / 10
    np.testing.assert_array_equal(read(out).predict(COLUMNS), FOREST.predict_proba(X[400:]))
    assert "bit for bit" in page.read_text("utf-8")
    carried = read(out).manifest.certificate
    assert certificate == json.loads(msgspec.json.encode(carried))
    command = ["register", "small", str(out), "--reference", str(place / "rows.parquet")]
    command += ["--outcome", "late", "--state", str(place / "state")]
    assert CliRunner().invoke(cli, command).exit_code == 0
    shown = CliRunner().invoke(cli, ["show", "small", "1", "--state", str(place / "state")])
    assert "certified  compact, lossless" in shown.output


def test_a_budget_out_of_reach_changes_nothing_and_exits_with_3(place: Path) -> None:
    out = place / "never"
    done = run(place, "--ignore", "late", "--budget", "p50<=0.001us", "--out", str(out))
    assert done.exit_code == 3
    assert "budget not reached, nothing changed" in done.output
    assert "Nearest: compact" in done.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "data", "message"),
    [
        (["--budget", "auc<=0.01"], "rows.parquet", "no target"),
        (["--budget", "acu<=0.01"], "rows.parquet", "Did you mean auc"),
        ([], "text.parquet", "The column 'b' holds text, but a RandomForestClassifier"),
        (["--traffic"], "rows.parquet", "A file has no recorded traffic"),
        (["--target", "lte"], "rows.parquet", "There is no column 'lte'"),
        (["--target", "late", "--budget", "auc<=0.01"], "one.parquet", "All 1,000 rows have"),
        (["--target", "late"], "nan.parquet", "None of the 1,000 outcomes is known"),
        (["--target", "late"], "narrow.parquet", "takes 4 features"),
        (["--target", "late"], "short.parquet", "90 rows"),
        (["--target", "late", "--segment", "x"], "rows.parquet", "no column 'x' to make segments"),
    ],
)
def test_what_cannot_be_planned_on_is_refused(
    place: Path, words: list[str], data: str, message: str
) -> None:
    ignored = [] if "late" in words else ["--ignore", "late"]
    done = run(place, *words, *ignored, data=data)
    assert done.exit_code == 2, done.output
    assert message in done.stderr


def test_what_can_be_optimised_is_listed() -> None:
    listed = CliRunner().invoke(cli, ["optimize", "--supported"])
    assert listed.exit_code == 0
    for words in ("sklearn.RandomForestClassifier", "xgboost.Booster", "StackingRegressor", "OneHotEncoder",
                  "MLPClassifier", "not taken", "gblinear"):  # fmt: skip
        assert words in listed.output
    told = json.loads(CliRunner().invoke(cli, ["optimize", "--supported", "--json"]).stdout)
    assert "lightgbm.Booster" in told["ways"][0]["takes"]
    nothing = CliRunner().invoke(cli, ["optimize"])
    assert (2, True) == (nothing.exit_code, "ask with --supported" in nothing.output)


def test_an_estimator_that_cannot_be_made_compact_says_why_and_what_answers(place: Path) -> None:
    near = KNeighborsClassifier(3).fit(X[:400], Y[:400])
    joblib.dump(near, place / "near.joblib")
    command = ["optimize", str(place / "near.joblib"), "--data", str(place / "rows.parquet")]
    done = CliRunner().invoke(cli, [*command, "--target", "late", "--trust", "--state", str(place)])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert (
        "stays as it is. KNeighborsClassifier cannot be made compact: it is no tree ensemble"
        in said
    )
    assert "It answers as its own library runs it" in said


def test_a_file_that_can_run_code_needs_somebodys_word(place: Path) -> None:
    done = run(place, "--target", "late", trust=False)
    assert done.exit_code == 1
    assert "nobody vouches for it" in done.stderr


def test_neither_a_file_nor_a_model(place: Path) -> None:
    done = CliRunner().invoke(
        cli,
        ["optimize", "nothing", "--data", str(place / "rows.parquet"), "--state", str(place / "s")],
    )
    assert done.exit_code == 1
    assert "neither a file nor a registered model" in done.stderr
