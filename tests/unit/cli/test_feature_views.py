"""features apply, list, show, diff: as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from trimtab.cli.main import cli

CONFIG = """\
[state]
dir = "{state}"

[features.stores.online]
kind = "sqlite"

[features.views.customer]
entity = "customer_id"
realtime = "online"
features = [{{ name = "mean_amount", default = {default} }}]
"""

DEFINITIONS = """\
from trimtab.features.declare import Feature, transform, view

@transform(default=1.0)
def amount_ratio(amount: float, mean_amount: float) -> float:
    return amount / mean_amount

payments = view("payments", request=[Feature(name="amount")], transforms=[amount_ratio])
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "trimtab.toml"
    write(path, "25.0")
    return path


def write(path: Path, default: str) -> None:
    path.write_text(CONFIG.format(state=(path.parent / "state").as_posix(), default=default))


def run(config: Path, *arguments: str, status: int = 0) -> Any:
    done = CliRunner().invoke(
        cli, ["features", *arguments, "--config", str(config), "--json"], catch_exceptions=False
    )
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def test_apply_then_diff_then_apply_again(config: Path) -> None:
    assert run(config, "diff", status=3)[0]["changed"]
    (first,) = run(config, "apply", "--reason", "First.")
    assert (first["version"], first["changed"]) == (1, True)
    assert not run(config, "diff")[0]["changed"]
    write(config, "30.0")
    (found,) = run(config, "diff", status=3)
    assert found["differences"] == [
        {"path": "features.mean_amount.default", "before": 25.0, "after": 30.0}
    ]
    assert run(config, "list")["customer"]["definition"]["features"][0]["default"] == 25.0
    run(config, "apply", "--reason", "Prices rose.")
    shown = run(config, "show", "customer")
    assert [one["reason"] for one in shown["versions"]] == ["First.", "Prices rose."]


def test_definitions_in_python_are_applied(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "definitions_of_a_test.py"
    file.write_text(DEFINITIONS)
    (made,) = run(config, "apply", str(file), "--reason", "Ratios.")
    assert (made["view"], made["version"]) == ("payments", 1)
    definition = run(config, "show", "payments")["definition"]
    assert definition["transforms"][0]["function"] == "definitions_of_a_test:amount_ratio"


def test_definitions_in_another_toml_file_are_applied(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "views.toml"
    other.write_text('[features.views.bare]\nentity = "a"\nfeatures = [{ name = "x" }]\n')
    assert run(config, "apply", str(other), "--reason", "More.")[0]["view"] == "bare"


def test_what_cannot_be_applied_is_refused_with_its_path(config: Path, tmp_path: Path) -> None:
    write(config, '"much"')
    found = run(config, "apply", "--reason", "First.", status=2)["error"]
    assert (found["code"], found["path"]) == (
        "default_of_wrong_type",
        "features.views.customer.features[0].default",
    )
    config.write_text(config.read_text().replace("realtime", "ttl_seconds = 0\nrealtime"))
    found = run(config, "apply", "--reason", "First.", status=2)["error"]
    assert found["path"] == "features.views.customer.ttl_seconds"
    (tmp_path / "broken.py").write_text("def")
    assert run(config, "apply", "no_such_module", "--reason", "x", status=2)["error"]["hint"]


def test_a_view_whose_stores_are_of_no_known_kind_is_refused(config: Path) -> None:
    config.write_text(config.read_text().replace('"sqlite"', '"sqlight"'))
    found = run(config, "apply", "--reason", "First.", status=2)["error"]
    assert ("unknown_store_kind", "features.stores.online.kind") == (found["code"], found["path"])
    assert "sqlite" in found["hint"]
    assert run(config, "list")["customer"]["version"] is None


@pytest.mark.parametrize("name", ["a/b", "", "über", "a" * 64, "a b"])
def test_a_view_is_named_as_a_model_is(config: Path, name: str) -> None:
    text = config.read_text().replace("views.customer]", f"views.{json.dumps(name)}]")
    config.write_text(text)
    found = run(config, "apply", "--reason", "First.", status=2)["error"]
    assert ("invalid_name", f"features.views.{name}") == (found["code"], found["path"])


WITHOUT = """\
import sys
sys.modules[sys.argv[1]] = None
from trimtab.cli.main import cli
cli(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("scheme", "package", "extra"),
    [("redis", "redis", "redis"), ("kafka", "confluent_kafka", "kafka")],
)
def test_a_stream_whose_package_is_missing_names_its_extra(
    config: Path, scheme: str, package: str, extra: str
) -> None:
    asked = ["consume", "customer", "--url", f"{scheme}://127.0.0.1:1", "--stream", "events"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, "features", *asked, "--config", config, "--json"],
        check=False,
        capture_output=True,
    )
    found = json.loads(done.stdout)["error"]
    assert (2, "--url") == (done.returncode, found["path"])
    assert f"Install it: pip install 'trimtab[{extra}]'." == found["hint"]


def test_an_unknown_view_is_not_shown(config: Path) -> None:
    assert "customer" in run(config, "show", "nobody", status=1)["error"]["hint"]


def test_a_file_of_which_every_row_is_refused_is_bad_input(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("customer_id,mean_amount,at\n,3.5,1700000000\n")
    assert 1 == run(config, "push", "customer", str(file), "--time", "at", status=2)["refused"]
    file.write_text("customer_id,mean_amount,at\n,3.5,1700000000\n007,3.5,1700000000\n")
    assert 1 == run(config, "push", "customer", str(file), "--time", "at")["refused"]


def test_an_entity_of_several_keys_is_named_by_all_of_them(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace('"customer_id"', '["customer_id", "shop"]'))
    file = tmp_path / "rows.csv"
    file.write_text("customer_id,shop,mean_amount,at\n007,a|b,3.5,1700000000\n")
    assert 1 == run(config, "push", "customer", str(file), "--time", "at")["kept"]
    held = run(config, "get", "customer", "007", "a|b")
    assert {"mean_amount": 3.5} == held["online"]["values"]
    assert {} == run(config, "get", "customer", "007", "b")
    refused = run(config, "get", "customer", "007", status=2)["error"]
    assert "Its keys: customer_id, shop." == refused["hint"]


def test_a_registration_without_views_names_those_that_have_the_models_features(
    config: Path, tmp_path: Path
) -> None:
    rows = pa.table({"mean_amount": [1.0, 2.0, 3.0], "fraud": [0, 1, 0]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    model = LogisticRegression().fit([[1.0], [2.0], [3.0]], [0, 1, 0])
    joblib.dump(model, tmp_path / "m.joblib")
    command = f"register m {tmp_path}/m.joblib --reference {tmp_path}/rows.parquet --trust"
    command += f" --outcome fraud --config {config}"
    bare = CliRunner().invoke(cli, command.split())
    assert "with --view customer requests may leave out what views provide" in bare.output
    read = CliRunner().invoke(cli, [*command.split(), "--view", "customer"])
    assert (0, False) == (read.exit_code, "requests may leave out" in read.output)
    assert "m v2" in read.stdout


def test_a_history_without_news_says_how_to_fill_a_store_that_was_emptied(
    config: Path, tmp_path: Path
) -> None:
    rows = pa.table({"customer_id": ["ann"], "event_time": [1.0], "mean_amount": [2.0]})
    pq.write_table(rows, tmp_path / "past.parquet")
    named = f'realtime = "online"\nhistory = "{tmp_path / "past.parquet"}"'
    config.write_text(config.read_text().replace('realtime = "online"', named))
    command = ["features", "materialise", "customer", "--config", str(config)]
    first, second, third = (
        CliRunner().invoke(cli, [*command, *more]) for more in ((), (), ("--again",))
    )
    hints = ["--again fills" in done.output for done in (first, second, third)]
    assert [False, True, False] == hints
    assert third.output.startswith("1 row sent from the history to online")


def test_a_training_frame_is_not_named_as_what_it_is_not(config: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"customer_id": ["ann"]}), tmp_path / "events.parquet")
    found = run(config, "training-frame", f"{tmp_path}/events.parquet", "--out", "t.csv", status=2)[
        "error"
    ]
    assert (found["code"], found["path"]) == ("unknown_format", "--out")
