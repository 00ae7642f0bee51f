from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from trimtab import telemetry

# Where a package came from is the business of whoever installs, and paths that of one machine.
FORBIDDEN = {
    "a package index": re.compile(
        r"https?://[^\s\"'<>]*(?:pypi|pythonhosted|registry|npmjs)", re.IGNORECASE
    ),
    "an index option": re.compile(
        r"^\s*--?(?:extra-index-url|index-url|find-links)\b", re.MULTILINE
    ),
    "a download": re.compile(r"https?://[^\s\"'<>]+\.(?:whl|tgz|tar\.gz)\b"),
    "a path of one machine": re.compile(
        r"(?:^|[^\w.~-])/(?:home|Users|root|work)/\w", re.MULTILINE
    ),
}
SERIES = ("_bucket", "_count", "_sum", "_created")


@pytest.fixture(scope="module")
def texts(root: Path) -> dict[str, str]:
    """Every text file that is, or is about to be, tracked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = {}
    for name in filter(None, listed.split("\0")):
        data = (root / name).read_bytes() if (root / name).is_file() else b""
        if b"\0" not in data:
            found[name] = data.decode("utf-8")
    assert "pyproject.toml" in found
    return found


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_names(what: str, texts: dict[str, str]) -> None:
    found = [
        f"{name}: {match.group().strip()}"
        for name, text in texts.items()
        for match in FORBIDDEN[what].finditer(text)
    ]
    assert found == []


def test_the_lock_pins_every_package_exactly(root: Path) -> None:
    lines = (root / "requirements.lock").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    loose = [pin for pin in pins if not re.match(r"[a-z0-9-]+==\S+( ; .+)?$", pin)]
    assert loose == []
    assert len(pins) > 0


def documented(texts: dict[str, str]) -> dict[str, list[str]]:
    """Metric names in README and docs, and in dashboards and rules wherever they lie."""
    return {
        name: re.findall(r"\bml_[a-z0-9_]*[a-z0-9]", text)
        for name, text in texts.items()
        if name == "README.md" or name.startswith(("docs/", "deploy/"))
    }


def series() -> set[str]:
    """Every name that the metrics are exposed under."""
    names: set[str] = set()
    for metric in telemetry.ALL:
        names.add(metric.name)
        if metric.kind == "counter":
            names |= {
                f"{metric.name.removesuffix('_total')}{end}" for end in ("", "_total", "_created")
            }
        elif metric.kind == "histogram":
            names |= {metric.name + end for end in SERIES}
    return names


def test_every_metric_stands_in_the_reference(root: Path) -> None:
    reference = (root / "docs" / "reference" / "metrics.md").read_text("utf-8")
    missing = [m.name for m in telemetry.ALL if not re.search(rf"\b{m.name}\b", reference)]
    assert missing == []
    assert len({metric.name for metric in telemetry.ALL}) == len(telemetry.ALL)


def test_every_metric_that_is_documented_exists(texts: dict[str, str]) -> None:
    unknown = {
        name: sorted(set(found) - series())
        for name, found in documented(texts).items()
        if set(found) - series()
    }
    assert unknown == {}
