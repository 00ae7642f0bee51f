"""Every command: its happy path for people and as JSON, and the exit status of what goes wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sklearn.pipeline import Pipeline
from tests.e2e.conftest import fitted, frame, registered
from tests.e2e.recorded import opened, record

from trimtab.cli.main import COMMANDS, cli
from trimtab.telemetry import Metrics
from trimtab.wiring.watching import Watching

MORE = """
[models.risk.rollout]
steps = [{ share = 0.5, bake_seconds = 60 }]
guardrails = [{ name = "errors", event = "error" }]

[features.stores.online]
kind = "sqlite"

[features.views.customer]
entity = "customer"
realtime = "online"
features = [{ name = "orders", kind = "integer", default = 0 }]
"""
ROWS = 300


def learn(table: pa.Table) -> Pipeline:
    """A trainer, found by `trimtab retrain --trainer`."""
    return fitted(table.to_pandas())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state with a deployed model, watched predictions, and files of data; its configuration."""
    config = registered(tmp_path_factory.mktemp("cli") / "deployment")
    config.write_text(config.read_text() + MORE)
    folder = config.parent
    frame().to_parquet(folder / "reference.parquet")
    frame(500, seed=1).to_parquet(folder / "holdout.parquet")
    frame(ROWS, seed=2).to_csv(folder / "rows.csv", index=False)
    joblib.dump(fitted(frame(seed=3)), folder / "second.joblib")
    with opened(config) as deployment:
        answered = record(deployment, frame(ROWS, seed=4))
        watching = Watching.open(deployment, Metrics())
        while watching.tick().records:
            pass
    told = {"prediction_id": [p.prediction_id for p in answered], "value": [1] * ROWS}
    pd.DataFrame(told).to_parquet(folder / "outcomes.parquet")
    orders = pa.table({"customer": ["c1", "c2"], "orders": [3, 5], "at": [1.7e9, 1.7e9]})
    pq.write_table(orders, folder / "orders.parquet")
    return config


@pytest.fixture
def config(made: Path, tmp_path: Path) -> Path:
    """A copy of that state, to be changed at will."""
    folder = tmp_path / "deployment"
    shutil.copytree(made.parent, folder)
    copy = folder / made.name
    copy.write_text(copy.read_text().replace(made.parent.as_posix(), folder.as_posix()))
    return copy


def run(*arguments: str, status: int = 0) -> Result:
    done = CliRunner().invoke(cli, arguments)
    assert status == done.exit_code, done.output
    return done


def read(*arguments: str, status: int = 0) -> Any:
    """The one JSON document on standard output."""
    return json.loads(run(*arguments, "--json", status=status).stdout)


def at(config: Path, *arguments: str) -> tuple[str, ...]:
    return (*arguments, "--config", str(config))


def second_from_files(config: Path) -> list[str]:
    """What registers the second version."""
    folder = config.parent
    return [
        *at(config, "register", "risk", str(folder / "second.joblib")),
        *("--reference", str(folder / "reference.parquet")),
        *("--holdout", str(folder / "holdout.parquet")),
        *("--outcome", "outcome", "--time", "time", "--label", "good", "--label", "bad"),
        *("--unit", "amount=EUR", "--description", "Second.", "--trust"),
    ]


def add_second(config: Path) -> dict[str, Any]:
    """Register the second version from files."""
    return dict(read(*second_from_files(config)))


READS: list[tuple[tuple[str, ...], str]] = [
    (("list",), "champion"),
    (("show", "risk"), "sha256:"),
    (("show", "risk", "1"), "amount"),
    (("status",), "risk"),
    (("status", "risk"), "predictions"),
    (("events",), "deploy"),
    (("events", "risk", "--verify"), "The chain is whole."),
    (("outcomes", "status", "risk"), "300 of 300"),
    (("features", "list"), "customer"),
    (("features", "get", "customer", "nobody"), "No store holds"),
    (("doctor",), "python"),
    (("config", "show"), "window_seconds"),
    (("config", "check"), "The configuration is right."),
    (("config", "schema"), "properties"),
]


@pytest.mark.parametrize(("command", "words"), READS, ids=[" ".join(c) for c, _ in READS])
def test_a_command_that_reads_tells_people_and_programs(
    made: Path, command: tuple[str, ...], words: str
) -> None:
    people = run(*at(made, *command)).stdout
    assert words in people
    assert read(*at(made, *command)) is not None
    if command[0] != "config":
        assert not people.lstrip().startswith(("{", "["))


def test_register_show_deploy_pause_resume_promote_rollback(config: Path) -> None:
    second = add_second(config)
    assert ("risk", 2, "joblib") == (second["model"], second["version"], second["format"])
    assert second["metrics"]["roc_auc"] > 0.5
    again = run(*second_from_files(config))
    assert "note: this is risk v2 already: nothing was changed.\n" == again.stderr
    assert again.stdout.startswith("risk v2")
    registered = [one for one in read(*at(config, "events")) if one["action"] == "register"]
    assert [1, 2] == [one["detail"]["version"] for one in registered]
    assert [1, 2] == [version["version"] for version in read(*at(config, "list"))]
    assert "Second." in run(*at(config, "show", "risk", "2")).stdout

    def move(*command: str) -> Any:
        return read(*at(config, *command), "--reason", "a test")

    begun = move("deploy", "risk", "2")
    assert ("running", 1, 2) == (begun["state"], begun["control"], begun["candidate"])
    assert "rollout_running" == move_fails(config, "deploy", "risk", "2")
    assert "held" == move("pause", "risk")["state"]
    assert "running" == move("resume", "risk")["state"]
    assert "nothing_to_approve" == move_fails(config, "approve", "risk")
    assert "promoted" == move("promote", "risk")["state"]
    assert [1] == [arm["version"] for arm in move("rollback", "risk")["arms"]]
    moves = read(*at(config, "show", "risk", "--history"))
    assert [("champion", 1), ("challenger", 2)] == [(m["alias"], m["version"]) for m in moves[:2]]
    assert ("champion", 1) == (moves[-2]["alias"], moves[-2]["version"])
    told = {found["what"] for found in read(*at(config, "diff", "risk", "1", "champion"))}
    assert set() == told
    assert "description" in {found["what"] for found in read(*at(config, "diff", "risk", "1", "2"))}
    assert "Second." in run(*at(config, "diff", "risk", "1", "2")).stdout
    assert "nothing_to_roll_back_to" == move_fails(config, "rollback", "risk")
    actions = [entry["action"] for entry in read(*at(config, "events", "risk"))]
    assert ["start", "pause", "resume", "promote", "roll_back"] == actions[-5:]
    assert read(*at(config, "events", "--verify"))["broken_at"] is None


def move_fails(config: Path, *command: str) -> str:
    return str(read(*at(config, *command), "--reason", "x", status=1)["error"]["code"])


def test_score_twice_is_once(config: Path, tmp_path: Path) -> None:
    command = at(
        config, "score", "risk", str(config.parent / "rows.csv"), "--out", str(tmp_path / "out"),
        "--keep", "outcome", "--chunk-rows", "100",
    )  # fmt: skip
    ignored = (*command, "--time", "time")
    once = read(*ignored)
    parts = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.parquet")}
    again = read(*ignored)
    assert ROWS == once["rows"] == again["rows"]
    assert once["parts"] == again["parts"]
    assert 3 == len(parts)
    assert parts == {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.parquet")}
    assert f"{ROWS:,} rows scored by risk v1" in run(*ignored).stdout
    table = pq.read_table(next(iter(sorted(parts))))
    assert "outcome" in table.column_names


def test_outcomes_are_pushed_once(config: Path) -> None:
    command = at(config, "outcomes", "push", "risk", str(config.parent / "outcomes.parquet"))
    said = read(*command)
    assert ROWS == sum(said.values())
    assert {"duplicate", "corrected"} == set(said)
    assert {"duplicate": ROWS} == read(*command)
    assert f"{ROWS:,} outcomes: {ROWS:,} duplicate" in run(*command).stdout
    assert {"1": {"predictions": ROWS, "outcomes": ROWS}} == read(
        *at(config, "outcomes", "status", "risk")
    )


def test_features_are_pushed_and_read_back(config: Path) -> None:
    file = str(config.parent / "orders.parquet")
    push = at(config, "features", "push", "customer", file, "--time", "at")
    written = read(*push)
    assert (2, 2, 0) == (written["rows"], written["kept"], written["refused"])
    found = read(*at(config, "features", "get", "customer", "c2"))
    assert {"online": {"values": {"orders": 5}, "event_time": 1.7e9}} == found
    assert "orders" in run(*at(config, "features", "get", "customer", "c2")).stdout
    assert {} == read(*at(config, "features", "get", "customer", "c3"))


def test_report_is_one_page(config: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    read(*at(config, "report", "risk", "--out", str(page)))
    text = page.read_text()
    assert "risk" in text
    assert "<script" not in text
    assert "<link" not in text


def test_retrain_learns_from_the_record(config: Path) -> None:
    command = at(config, "retrain", "risk", "--trainer", f"{__name__}:learn")
    version = read(*command, "--min-outcomes", "200")
    assert (2, "270") == (version["version"], version["lineage"]["reference_rows"])
    few = read(*command, "--min-outcomes", "1000", status=2)
    assert "too_few_outcomes" == few["error"]["code"]


def test_drift_is_a_gate(made: Path, tmp_path: Path) -> None:
    reference, page = str(made.parent / "reference.parquet"), tmp_path / "drift.html"
    leave = ("--ignore", "outcome", "--ignore", "time")
    frame(seed=9).to_parquet(tmp_path / "same.parquet")
    moved = frame(seed=9)
    moved.assign(amount=moved["amount"] * 3).to_parquet(tmp_path / "moved.parquet")
    steady = read("drift", reference, str(tmp_path / "same.parquet"), *leave)
    drifted = read(
        "drift", reference, str(tmp_path / "moved.parquet"), *leave, "--html", str(page), status=3
    )
    assert ("steady", []) == (steady["state"], steady["flagged"])
    assert ["amount"] == drifted["flagged"]
    assert "amount" in page.read_text()
    people = run("drift", reference, str(tmp_path / "moved.parquet"), *leave, status=3)
    assert "drifted" in people.stdout


def test_init_writes_a_configuration_that_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"written": "trimtab.toml"} == read("init")
    assert {"ok": True} == read("config", "check")
    assert "exists already" in run("init", status=1).stderr
    run("init", "--force")


def test_a_wrong_setting_is_named_by_its_path(made: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[serve]\nportt = 1\n")
    said = run("config", "check", "--config", str(wrong), status=2).stderr
    assert "portt" in said
    assert "serve" in said
    error = read("status", "--config", str(wrong), status=2)["error"]
    assert ("invalid_config", "serve") == (error["code"], error["path"])
    missing = run(*at(tmp_path / "none.toml", "status"), status=2).stderr
    assert "trimtab init" in missing
    unknown = read(*at(made, "show", "nope"), status=1)["error"]
    assert "nope" in unknown["message"]


def test_an_unknown_model_fails_with_a_hint(made: Path) -> None:
    said = run(*at(made, "status", "nope"), status=1).stderr
    assert "There is no model 'nope'" in said
    assert "risk" in said
    assert "unknown_model" == read(*at(made, "status", "nope"), status=1)["error"]["code"]


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "trimtab.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_program_itself(made: Path) -> None:
    listed = program("list", "--config", str(made), "--json")
    assert (0, 1) == (listed.returncode, json.loads(listed.stdout)[0]["version"])
    typo = program("depoly")
    assert 2 == typo.returncode
    assert "Did you mean 'deploy'?" in typo.stderr
    version = program("--version")
    assert (0, "trimtab") == (version.returncode, version.stdout.split(",")[0].split()[0])
    bare = program("show", "nope", "--config", str(made))
    assert (1, "", True) == (bare.returncode, bare.stdout, bare.stderr.startswith("error: "))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself(command: str) -> None:
    assert "Usage:" in run(command, "--help").stdout


def test_a_short_reference_is_told_of(config: Path) -> None:
    folder = config.parent
    pd.read_parquet(folder / "reference.parquet").head(60).to_parquet(folder / "short.parquet")
    done = run(
        *at(config, "register", "risk", str(folder / "second.joblib")),
        *("--reference", str(folder / "short.parquet"), "--outcome", "outcome", "--time", "time"),
        *("--label", "good", "--label", "bad", "--trust"),
    )
    assert "note: the reference has 60 rows" in done.stderr
