"""Rollouts that cannot be, asked for on the command line: refused with a code and the arithmetic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from tests.integration.controller_story import WHO
from tests.registered import version

from trimtab.cli.main import cli
from trimtab.config import Config, StateConfig
from trimtab.types import FeatureKind, FeatureSpec, Signature, Task
from trimtab.wiring.deployment import Deployment

SOUND = ("--step", "10%:2h", "--guardrail", "error")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Version 1 deployed, version 2 like it, version 3 with a feature that version 1 does not take."""
    deployment = Deployment.open(Config(state=StateConfig(dir=str(tmp_path))))
    other = Signature(
        features=(FeatureSpec(name="income", kind=FeatureKind.NUMERIC),), task=Task.REGRESSION
    )
    with deployment.state.transaction() as state:
        for number in (1, 2):
            state.registry.add_version(version("m", number, "x"))
        state.registry.add_version(replace(version("m", 3, "x"), signature=other))
    deployment.deploy("m", 1, **WHO)
    yield tmp_path
    deployment.close()


def deploy(folder: Path, number: int, *flags: str) -> tuple[int, dict[str, Any]]:
    command = ["deploy", "m", str(number), "--reason", "why", "--state", str(folder), "--json"]
    done = CliRunner().invoke(cli, [*command, *flags])
    said: dict[str, Any] = json.loads(done.stdout)
    return done.exit_code, said.get("error", said)


@pytest.mark.parametrize(
    ("number", "flags", "code", "words"),
    [
        (2, ("--step", "150%:2h", "--guardrail", "error"), "invalid_share", "not between 0 and 1"),
        (2, ("--step", "50%:2h", "--step", "20%:2h", "--guardrail", "error"), "steps_not_growing", "20.00%, not more than"),
        (9, SOUND, "unknown_version", "no version or alias '9'"),
        (1, SOUND, "candidate_is_champion", "champion already"),
        (3, SOUND, "signature_differs", "'income' as numeric, control has no such feature"),
        (2, (*SOUND, "--outcome-delay", "1d"), "step_shorter_than_delay", "bakes 7200 s, and outcomes take 86400 s: it would end 79200 s before"),
        (2, (*SOUND, "--force", "luck"), "unknown_force", "'luck' cannot be forced"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_changes_nothing(
    folder: Path, number: int, flags: tuple[str, ...], code: str, words: str
) -> None:
    status, said = deploy(folder, number, *flags)
    assert (code, True) == (said["code"], status != 0), said
    assert words in said["message"]
    events = CliRunner().invoke(cli, ["events", "--json", "--state", str(folder)])
    assert ["deploy"] == [entry["action"] for entry in json.loads(events.stdout)]


@pytest.mark.parametrize(
    ("number", "flags", "name"),
    [
        (3, SOUND, "signature_differs"),
        (2, (*SOUND, "--outcome-delay", "1d"), "step_shorter_than_delay"),
    ],
)
def test_a_refusal_that_may_be_forced_is_forced_by_its_name_alone(
    folder: Path, number: int, flags: tuple[str, ...], name: str
) -> None:
    other = {"signature_differs", "step_shorter_than_delay"} - {name}
    assert name == deploy(folder, number, *flags, "--force", *other)[1]["code"]
    status, begun = deploy(folder, number, *flags, "--force", name)
    assert (0, "running") == (status, begun["state"])
    events = CliRunner().invoke(cli, ["events", "--json", "--state", str(folder)])
    assert [name] == json.loads(events.stdout)[-1]["detail"]["forced"]


def test_a_second_rollout_of_a_model_is_refused(folder: Path) -> None:
    assert 0 == deploy(folder, 2, *SOUND)[0]
    status, said = deploy(folder, 3, *SOUND, "--force", "signature_differs")
    assert ("rollout_running", True) == (said["code"], status != 0)
