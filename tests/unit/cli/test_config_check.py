"""`trimtab config check` finds what would only fail later."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from trimtab.cli.main import cli

ROLLOUT = """
[models.risk.rollout]
outcome_delay_seconds = 100
steps = [{ share = 0.1, bake_seconds = 200 }]
guardrails = [{ name = "errors", event = "error" }]
"""


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("", 0, "The configuration is right."),
        (ROLLOUT, 0, "The configuration is right."),
        (ROLLOUT.replace("200", "50"), 2, "Step 1 bakes 50 s"),
        ('[models.risk]\ntrainer = "nowhere:train"', 2, "'nowhere:train' cannot be imported"),
        ('[features.stores.live]\nkind = "clay"', 1, "no feature store named 'clay'"),
        (
            '[auth]\ntokens = [{ name = "bot", role = "admin", secret = "file:nothing" }]',
            2,
            "The secret 'file:nothing' is empty or missing.",
        ),
        ("[serve]\nprot = 1", 2, "at serve"),
    ],
)
def test_it_says_what_is_wrong(tmp_path: Path, text: str, status: int, said: str) -> None:
    path = tmp_path / "trimtab.toml"
    path.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(cli, ["config", "check", "--config", str(path)])
    assert status == done.exit_code, done.output
    assert said in done.output


def test_what_is_printed_to_a_file_is_not_cut(tmp_path: Path) -> None:
    state = tmp_path / ("a" * 60) / ("b" * 60)
    done = CliRunner().invoke(cli, ["doctor", "--state", str(state)])
    assert str(state) in done.output
