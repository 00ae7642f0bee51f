"""What commands refuse before anything is started, and what can be forced by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from sklearn.linear_model import LogisticRegression

from trimtab.cli.main import cli
from trimtab.config import load
from trimtab.types import Task
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.registration import Training, register

CONFIG = """\
[state]
dir = "{state}"

[models.m.rollout]
outcome_delay_seconds = 3600
steps = [{{ share = 0.1, bake_seconds = 60 }}]
guardrails = [{{ name = "wrong", event = "wrong_decision" }}]
"""


def configured(folder: Path, more: str = "") -> str:
    path = folder / "trimtab.toml"
    path.write_text(CONFIG.format(state=(folder / "state").as_posix()) + more)
    return str(path)


def two_versions(config: str) -> None:
    deployment = Deployment.open(load(Path(config), environ={}))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=200), rng.integers(0, 2, 200)
    training = Training(reference=pa.table({"x": x, "y": y}), outcome="y", task=Task.BINARY)
    for strength in (1.0, 0.1):
        model = LogisticRegression(C=strength).fit(x[:, None], y)
        register(deployment, "m", model, training, author="test")
    deployment.deploy("m", 1, actor="test", reason="first")
    deployment.close()


def test_a_step_shorter_than_the_outcome_delay_is_refused_unless_forced_by_name(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path)
    two_versions(config)
    deploy = ["deploy", "m", "2", "--reason", "new", "--config", config]
    refused = CliRunner().invoke(cli, deploy)
    assert 2 == refused.exit_code
    assert "step_shorter_than_delay" in refused.output
    forced = CliRunner().invoke(cli, [*deploy, "--force", "step_shorter_than_delay"])
    assert (0, True) == (forced.exit_code, "running" in forced.output)


def test_a_server_whose_token_has_no_secret_does_not_start(tmp_path: Path) -> None:
    token = '\n[[auth.tokens]]\nname = "ops"\nrole = "operator"\nsecret = "env:NO_SUCH_SECRET"\n'
    config = configured(tmp_path, token)
    refused = CliRunner().invoke(cli, ["serve", "--config", config])
    assert 2 == refused.exit_code
    assert "NO_SUCH_SECRET" in refused.output


def test_a_plan_by_flags_needs_none_in_the_configuration_and_its_steps_their_role(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path)
    two_versions(config)

    def call(*command: str) -> Result:
        return CliRunner().invoke(cli, [*command, "--reason", "new", "--config", config])

    steps = ("--step", "10%:0", "--step", "50%:0:admin")
    begun = call("deploy", "m", "2", *steps, "--guardrail", "error", "--outcome-delay", "0")
    assert (0, True) == (begun.exit_code, "step 1 of 2" in begun.output)
    refused = call("approve", "m")
    assert 1 == refused.exit_code
    assert "needs the approval of the role 'admin'; yours is 'operator'" in refused.output
    assert 0 == call("approve", "m", "--role", "admin").exit_code
    told = CliRunner().invoke(cli, ["events", "m", "--json", "--config", config])
    assert "admin" == json.loads(told.output)[-1]["detail"]["role"]
    status = CliRunner().invoke(cli, ["status", "m", "--config", config]).output
    assert "v1 → v2 running, step 1/2 at 10 %" in status
    assert "because" in status


@pytest.mark.parametrize("asked", [["list"], ["serve"], ["doctor"], ["status", "--json"]])
def test_a_state_directory_that_cannot_be_made(tmp_path: Path, asked: list[str]) -> None:
    (tmp_path / "file").touch()
    found = CliRunner().invoke(cli, [*asked, "--state", str(tmp_path / "file" / "state")])
    assert 1 == found.exit_code
    assert "file/state cannot be made: Not a directory." in found.output
    assert "--state" in found.output
    assert "defect" not in found.output


def test_a_file_that_cannot_be_written_is_no_defect(tmp_path: Path) -> None:
    config = configured(tmp_path)
    two_versions(config)
    (tmp_path / "file").touch()
    out = str(tmp_path / "file" / "out.html")
    found = CliRunner().invoke(cli, ["report", "m", "--out", out, "--config", config, "--json"])
    assert 1 == found.exit_code
    told = json.loads(found.output)["error"]
    assert ("file_unusable", True) == (told["code"], "Not a directory" in told["message"])


def test_a_journal_that_is_not_there_is_not_called_sound(tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["journal", "verify", "--state", str(tmp_path / "nowhere")])
    assert 1 == found.exit_code
    assert f"There is no journal at {tmp_path / 'nowhere' / 'journal'}." in found.output
