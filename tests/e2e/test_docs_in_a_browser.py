"""`/docs` in a real browser: every route is there, its examples work, and nothing comes from elsewhere."""

from __future__ import annotations

import fcntl
import json
import os
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


class Browser:
    """Chromium, spoken to over two pipes in the DevTools protocol: JSON messages, each ended by a null."""

    def __init__(self, program: str, profile: Path) -> None:
        told, self._writer = os.pipe()
        self._reader, answers = os.pipe()

        def as_it_expects() -> None:
            os.dup2(told, 3)
            os.dup2(answers, 4)

        above = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (told, answers)]
        os.close(told)
        os.close(answers)
        told, answers = above
        self._process = subprocess.Popen(
            [
                program,
                *FLAGS,
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            preexec_fn=as_it_expects,  # noqa: PLW1509 - the pipes have fixed numbers
            pass_fds=(3, 4),
            stderr=subprocess.DEVNULL,
        )
        for fd in above:
            os.close(fd)
        self._number = 0
        self._rest = b""

    def ask(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Call a method and wait for its result."""
        self._number += 1
        sent = {"id": self._number, "method": method, "params": params}
        if session:
            sent["sessionId"] = session
        os.write(self._writer, json.dumps(sent).encode() + b"\0")
        while (found := self._next()).get("id") != self._number:
            pass
        assert "error" not in found, found
        return dict(found["result"])

    def hear(self, event: str) -> None:
        """Wait for an event."""
        while self._next().get("method") != event:
            pass

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._reader, 65_536)
            assert piece, "chromium has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._writer)
        os.close(self._reader)


SEND = """new Promise(resolve => {
  const form = document.querySelector('form[data-method="POST"][data-path="/models/risk/predict"]');
  const out = form.querySelector("output");
  new MutationObserver(() => { if (/^[0-9]{3} in/.test(out.textContent)) resolve(out.textContent); })
    .observe(out, {childList: true, characterData: true, subtree: true});
  form.querySelector("button").click();
})"""


def test_its_button_sends_the_example_and_shows_the_answer(server: Any, tmp_path: Path) -> None:
    program = shutil.which("chromium")
    assert program is not None, "scripts/system-packages.sh installs chromium"
    browser = Browser(program, tmp_path / "profile")
    try:
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.ask("Page.enable", session)
        browser.ask("Page.navigate", session, url=f"{server.url}/docs")
        browser.hear("Page.loadEventFired")
        click = {"expression": SEND, "awaitPromise": True, "returnByValue": True}
        told = browser.ask("Runtime.evaluate", session, **click)["result"]["value"]
    finally:
        browser.close()
    status, _, body = told.partition("\n")
    assert re.fullmatch(r"200 in \d+ ms", status), told
    assert "risk" == json.loads(body)["model"]
