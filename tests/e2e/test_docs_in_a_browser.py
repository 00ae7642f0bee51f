"""`/docs` in a real browser: every route is there, its examples work, and nothing comes from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from trimtab.serve.explorer import page

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr")


def test_every_operation_is_on_the_page_and_nothing_comes_from_elsewhere(server: Any) -> None:
    with server.client as client:
        document = client.get("/openapi.json").json()
        reply = client.get("/docs")
    assert (200, "text/html; charset=utf-8") == (reply.status_code, reply.headers["content-type"])
    for path, methods in document["paths"].items():
        for method in methods:
            assert f'data-method="{method.upper()}" data-path="{escape(path)}"' in reply.text
    assert "http://" not in reply.text.replace(server.url, "")
    assert "https://" not in reply.text
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_example_of_a_models_route_is_answered(server: Any) -> None:
    with server.client as client:
        text = client.get("/docs").text
        form = re.search(
            r'data-path="/models/risk/predict">.*?<textarea[^>]*>(.*?)</textarea>', text, re.DOTALL
        )
        assert form is not None
        reply = client.post("/models/risk/predict", content=unescape(form[1]).encode())
    assert 200 == reply.status_code, reply.text


def test_names_cannot_break_out_of_the_page() -> None:
    path = '/models/"><script>alert(1)</script>/predict'
    operation = {"operationId": "<b>", "responses": {}}
    told = {
        "info": {"title": "<i>", "version": "1", "description": "&"},
        "paths": {path: {"post": operation}},
        "components": {"schemas": {}},
    }
    made = page(told)
    assert "<script>alert" not in made
    assert "<b>" not in made.replace('<b class="post">', "")


@pytest.mark.parametrize("picture", [False, True])
def test_a_browser_shows_it_without_a_complaint(server: Any, tmp_path: Path, picture: bool) -> None:
    program = shutil.which("chromium")
    assert program is not None, "scripts/system-packages.sh installs chromium"
    target = f"--screenshot={tmp_path / 'docs.png'}" if picture else "--dump-dom"
    done = subprocess.run(
        [program, *FLAGS, "--window-size=1200,1600", f"--user-data-dir={tmp_path / 'profile'}", target, f"{server.url}/docs"],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )  # fmt: skip
    assert [] == [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert picture or "/models/risk/predict" in done.stdout
    assert not picture or (tmp_path / "docs.png").stat().st_size > 20_000
