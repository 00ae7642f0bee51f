"""`trimtab demo --exit` tells the whole story, ends with 0, and leaves nothing behind but its files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.clients import eventually

MINUTES = 15


@pytest.fixture(scope="module")
def voyage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """The directory of one run, its exit status and what it told, with single blanks."""
    folder = tmp_path_factory.mktemp("demo") / "voyage"
    done = subprocess.run(
        [sys.executable, "-m", "trimtab.cli", "demo", "--exit", "--dir", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=MINUTES * 60,
    )
    return folder, done.returncode, re.sub(r"\s+", " ", done.stdout) + done.stderr


def test_it_ends_well(voyage: tuple[Path, int, str]) -> None:
    _, status, told = voyage
    assert 0 == status, told[-4000:]


def test_drift_is_seen_and_calls_for_retraining(voyage: tuple[Path, int, str]) -> None:
    _, _, told = voyage
    assert re.search(r"alert: Retrain", told), told
    assert "temp" in told.partition("Retrained on")[0]
    assert re.search(r"v2 learned from [\d,]{5,} recorded predictions", told)


def test_the_good_version_is_promoted_and_the_broken_one_rolled_back(
    voyage: tuple[Path, int, str],
) -> None:
    _, _, told = voyage
    assert re.search(r"v2 canary promoted after \d+ days", told), told
    assert re.search(r"v3 canary rolled back within", told), told
    rolled_back = re.search(
        r"Rolled back by the guardrail wrong decisions: the candidate had [\d,]+ among [\d,]+ units, "
        r"control [\d,]+ among [\d,]+; .*? estimated cost of [\d,]+ USD",
        told,
    )
    assert rolled_back, told


def test_nobody_was_failed_while_the_store_was_away(voyage: tuple[Path, int, str]) -> None:
    _, _, told = voyage
    assert re.search(r"store outage 0 of [\d,]{3,} predictions failed", told), told
    outage = re.search(r"weather came from realtime [\d.]+%, batch ([\d.]+)%", told)
    assert outage, told
    assert float(outage[1]) > 90
    assert re.search(r" failed 0 ", told)


def test_batch_equals_online(voyage: tuple[Path, int, str]) -> None:
    _, _, told = voyage
    assert re.search(r"batch equals online max \|Δ\| 0 ", told), told


def test_the_report_stands_alone(voyage: tuple[Path, int, str]) -> None:
    folder, _, told = voyage
    page = (folder / "report.html").read_text()
    assert str(folder / "report.html") in told
    assert "flights_late" in page
    assert "<svg" in page
    for foreign in ("<script", "<link", "src=", "@import", "url("):
        assert foreign not in page


def test_no_process_is_left_behind(voyage: tuple[Path, int, str]) -> None:
    folder, _, _ = voyage

    def left() -> list[str]:
        listed = subprocess.run(
            ["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True
        )
        return [line for line in listed.stdout.splitlines() if str(folder) in line]

    eventually(left, lambda lines: lines == [])
