"""The dashboard in a real browser: it renders, complains of nothing, and needs no script."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.browser import FLAGS
from tests.e2e.clients import Traffic
from tests.e2e.conftest import Running, frame, registered, start_server, stop

HOUR = 3600.0
WATCHED = ("--window-size=1200,1600", "--enable-logging=stderr")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose model has verdicts on drift and performance."""
    running = start_server(registered(tmp_path_factory.mktemp("dashboard")))
    traffic = Traffic(running, now=1.7e9 // HOUR * HOUR)
    for hour in range(3):
        data = frame(100, seed=20 + hour)
        traffic.send(data, [f"{hour}-{i}" for i in range(100)], seconds=HOUR)
    yield running
    stop(running)


def browse(folder: Path, *arguments: str) -> tuple[str, str]:
    """What Chromium writes, and what it complains of on the console."""
    program = shutil.which("chromium")
    assert program is not None, "scripts/system-packages.sh installs chromium"
    done = subprocess.run(
        [program, *FLAGS, *WATCHED, f"--user-data-dir={folder / 'profile'}", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(console)


def distinct_rows(picture: Path) -> int:
    """How many different rows of pixels, as a PNG stores them, a picture has."""
    data = picture.read_bytes()
    assert b"\x89PNG\r\n\x1a\n" == data[:8]
    width, _, depth, colour = struct.unpack(">IIBB", data[16:26])
    assert 8 == depth
    compressed, at = b"", 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            compressed += data[at + 8 : at + 8 + length]
        at += length + 12
    pixels = zlib.decompress(compressed)
    stride = 1 + width * {2: 3, 6: 4}[colour]
    return len({pixels[i : i + stride] for i in range(0, len(pixels), stride)})


@pytest.mark.parametrize("path", ["/", "/models/risk", "/models/risk/report"])
def test_a_page_renders_without_a_complaint(watched: Running, tmp_path: Path, path: str) -> None:
    dom, console = browse(tmp_path, "--dump-dom", f"{watched.url}{path}?refresh=off")
    assert "" == console
    assert "risk" in dom
    assert any(word in dom.lower() for word in ("healthy", "watch", "act"))
    assert "<svg" in dom
    assert "<script" not in dom
    assert "onclick" not in dom


def test_the_model_page_has_its_tables(watched: Running, tmp_path: Path) -> None:
    dom, _ = browse(tmp_path, "--dump-dom", f"{watched.url}/models/risk?refresh=off")
    assert dom.count("<table") >= 2
    for feature in ("amount", "visits", "country"):
        assert feature in dom
    assert "300" in dom


@pytest.mark.parametrize("path", ["/", "/models/risk"])
def test_a_page_is_drawn(watched: Running, tmp_path: Path, path: str) -> None:
    picture = tmp_path / "page.png"
    url = f"{watched.url}{path}?refresh=off"
    _, console = browse(tmp_path, f"--screenshot={picture}", url)
    assert "" == console
    assert distinct_rows(picture) > 100


@pytest.mark.parametrize("path", ["/", "/models/risk", "/models/risk/report"])
def test_no_script_is_sent_and_none_may_run(watched: Running, path: str) -> None:
    with watched.client as client:
        page = client.get(path)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "<script" not in page.text
    assert "http://" not in page.text.replace("http://www.w3.org/", "")
    assert "https://" not in page.text


def test_a_missing_model_is_told_on_a_page(watched: Running, tmp_path: Path) -> None:
    dom, _ = browse(tmp_path, "--dump-dom", f"{watched.url}/models/nope")
    assert "nope" in dom
    assert "404" in dom
