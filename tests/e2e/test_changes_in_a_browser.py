"""Changes from the dashboard, clicked in a real browser: hold, resume, approve, roll back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.browser import Browser
from tests.e2e.clients import eventually, journal, overview
from tests.e2e.conftest import Running, fitted, frame, registered, start_server, stop
from tests.e2e.recorded import opened

from trimtab.rollout.split import unit_hash
from trimtab.types import Task
from trimtab.wiring.registration import Training, register

PLAN = """
[models.risk.rollout]
steps = [
    { share = 0.2, bake_seconds = 3600 },
    { share = 0.5, bake_seconds = 3600, approval = "admin" },
]

[[models.risk.rollout.guardrails]]
name = "errors"
event = "error"
"""
TOKEN = '\n[[auth.tokens]]\nname = "{name}"\nrole = "{role}"\nsecret = "file:{file}"\n'
PEOPLE = {"ada": "operator", "grace": "admin", "joan": "viewer"}
SIZES = [(1200, 900), (390, 844)]
PAGES = {"model": "/models/risk?refresh=off", "form": "/models/risk/change/rollback"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("changes")
    config = registered(folder)
    said = config.read_text() + PLAN
    for name, role in PEOPLE.items():
        (folder / name).write_text(f"secret of {name}")
        said += TOKEN.format(name=name, role=role, file=folder / name)
    config.write_text(said)
    with opened(config) as deployment:
        data = frame(seed=3)
        training = Training(
            reference=data,
            outcome="outcome",
            time="time",
            task=Task.BINARY,
            labels=("good", "bad"),
        )
        version = register(deployment, "risk", fitted(data), training, author="test", trust=True)
        deployment.deploy_or_roll_out("risk", version.version, actor="test", reason="second")
    running = start_server(config)
    yield running
    stop(running)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


def answer(browser: Browser, button: str, *, reason: str, who: str) -> None:
    browser.write("reason", reason)
    browser.write("token", f"secret of {who}")
    browser.click(button)


def newest(server: Running) -> tuple[str, str, str]:
    """What was done last, by whom, and why."""
    entry: dict[str, Any] = overview(server)["events"][-1]
    return entry["action"], entry["actor"], entry["reason"]


def versions(server: Running) -> set[int]:
    rows = [{"features": {"visits": 3, "country": "nl"}, "key": f"key-{i}"} for i in range(60)]
    with server.client as client:
        said = client.post("/models/risk/predict", json={"rows": rows}).json()
    return {made["version"] for made in said["predictions"]}


def test_a_rollout_is_held_resumed_approved_and_rolled_back(
    server: Running, browser: Browser
) -> None:
    page = f"{server.url}/models/risk"
    assert {1, 2} == versions(server)
    # Rows of one request are recorded in their order, not by arm: evidence is counted in that order.
    recorded = [record.unit for record in journal(server.config)]
    assert [unit_hash(f"key-{i}") for i in range(60)] == recorded
    browser.go(f"{page}?refresh=off")
    browser.click("Hold…")
    assert "The rollout stays at 20 % until somebody resumes it." in browser.text
    answer(browser, "Hold", reason="Support calls.", who="nobody")
    assert "This token is not known." in browser.text
    assert ["Support calls.", ""] == [
        browser.run(f"document.querySelector('[name={field}]').value")
        for field in ("reason", "token")
    ]
    answer(browser, "Hold", reason="Support calls.", who="joan")
    assert "may not change anything" in browser.text
    answer(browser, "Hold", reason="Support calls.", who="ada")
    assert page == browser.run("location.href")
    assert "held at 20 %" in browser.text
    assert ("pause", "ada", "Support calls.") == newest(server)

    browser.click("Resume…")
    assert "It was held because: Support calls." in browser.text
    answer(browser, "Resume", reason="A false alarm.", who="ada")
    assert "running at 20 %" in browser.text

    browser.click("Approve step 2…")
    answer(browser, "Approve step 2", reason="Looks well.", who="ada")
    assert "needs the approval of the role 'admin'" in browser.text
    answer(browser, "Approve step 2", reason="Looks well.", who="grace")
    assert ("approve", "grace", "Looks well.") == newest(server)
    assert "Approve" not in browser.text.partition("Alerts")[0]

    browser.click("Roll back…")
    assert "Version 2 is taken off the traffic of every worker at once" in browser.text
    answer(browser, "Roll back", reason="Not what we want.", who="ada")
    assert ("roll_back", "ada", "Not what we want.") == newest(server)
    eventually(lambda: versions(server), lambda seen: seen == {1})
    assert "Roll back…" not in browser.text
    # The browser notes each refusal that it was answered with, and has nothing else to say.
    assert 3 == len(browser.complaints)
    assert all("status of 40" in said for said in browser.complaints)


def test_what_is_not_on_offer_any_more_is_told(server: Running, browser: Browser) -> None:
    for name, words in (("resume", "nothing to resume"), ("deploy", "nothing to deploy")):
        browser.go(f"{server.url}/models/risk/change/{name}")
        assert words in browser.text


def test_pages_fit_the_window_in_light_and_dark(
    server: Running, browser: Browser, tmp_path: Path
) -> None:
    with opened(server.config) as deployment:
        deployment.deploy_or_roll_out("risk", 2, actor="test", reason="again")
    browser.complaints.clear()
    papers = set()
    for (width, height), dark in product(SIZES, (False, True)):
        browser.resize(width, height, dark=dark)
        for name, path in PAGES.items():
            browser.go(f"{server.url}{path}")
            assert width == browser.run("document.documentElement.scrollWidth")
            assert "Roll back" in browser.text
            papers.add(browser.run("getComputedStyle(document.body).backgroundColor"))
            browser.picture(tmp_path / f"{name}-{width}{'-dark' * dark}.png")
    assert 2 == len(papers)
    assert [] == browser.complaints
