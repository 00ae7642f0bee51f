"""Commands that only read answer while another program holds the state's write lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.integration.controller_story import WHO, plan
from tests.registered import version

from trimtab.cli.main import cli
from trimtab.config import Config, StateConfig
from trimtab.wiring.deployment import Deployment


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    """Version 1 of ``m`` deployed, version 2 on its way."""
    opened = Deployment.open(Config(state=StateConfig(dir=str(tmp_path))))
    with opened.state.transaction() as state:
        for number in (1, 2):
            state.registry.add_version(version("m", number, "x"))
    opened.deploy("m", 1, **WHO)
    opened.start_rollout("m", 2, plan("roll_back"), **WHO)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("status", "v1 → v2 running"),
        ("events --verify", "The chain is whole."),
        ("list", "m"),
        ("show m", "sha256:1"),
        ("diff m 1 2", "digest"),
    ],
)
def test_a_command_that_reads_does_not_wait(
    deployment: Deployment, tmp_path: Path, command: str, said: str
) -> None:
    with deployment.state.transaction() as writing:
        writing.save_setting("somebody", "writes")
        done = CliRunner().invoke(cli, [*command.split(), "--state", str(tmp_path)])
    assert 0 == done.exit_code, done.output
    assert said in done.output
