"""Changes of traffic over HTTP: plans and forced refusals by name, roles by token, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from starlette.applications import Starlette
from tests.registered import register, version

from trimtab.config import AuthConfig, Config, StateConfig, TokenConfig
from trimtab.serve.control import control_routes
from trimtab.serve.refusals import refusals
from trimtab.types import FeatureKind, FeatureSpec, Signature, Task
from trimtab.ui.changes import change_routes
from trimtab.wiring.deployment import Deployment

ROLES = ("viewer", "operator", "admin")
PLAN = {
    "steps": [
        {"share": 0.1, "bake_seconds": 60},
        {"share": 0.5, "bake_seconds": 60, "approval": "admin"},
    ],
    "guardrails": [{"name": "errors", "event": "error"}],
    "outcome_delay_seconds": 3600,
}


class World:
    """A deployment with three versions, the first of them deployed, and its control plane."""

    def __init__(self, folder: Path) -> None:
        for role in ROLES:
            (folder / role).write_text(f"secret-{role}")
        tokens = tuple(
            TokenConfig(name=f"the-{role}", role=role, secret=f"file:{folder / role}")  # type: ignore[arg-type]  # of ROLES
            for role in ROLES
        )
        self.deployment = Deployment.open(
            Config(state=StateConfig(dir=str(folder / "state")), auth=AuthConfig(tokens=tokens))
        )
        with self.deployment.state.transaction() as state:
            register(state, (version("m", number, "x", task=Task.BINARY) for number in (1, 2, 3)))
        self.deployment.deploy("m", 1, actor="test", reason="first")
        self.counted: list[tuple[str, int]] = []
        self.app = Starlette(
            routes=control_routes(self.deployment),
            exception_handlers=refusals(lambda *told: self.counted.append(told)),
        )

    def post(self, change: str, who: str = "operator", **body: Any) -> tuple[int, dict[str, Any]]:
        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            headers = {"authorization": f"Bearer secret-{who}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                path = f"/api/v1/models/m/{change}"
                return await client.post(path, json={"reason": "why", **body}, headers=headers)

        answer = asyncio.run(main())
        return answer.status_code, answer.json()

    def code(self, change: str, who: str = "operator", **body: Any) -> tuple[int, str]:
        status, answer = self.post(change, who, **body)
        return status, answer["error"]["code"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.deployment.close()


def test_a_plan_is_given_and_a_refusal_is_forced_by_name(world: World) -> None:
    assert (422, "step_shorter_than_delay") == world.code("deploy", version=2, plan=PLAN)
    assert (422, "unknown_force") == world.code("deploy", version=2, plan=PLAN, force=["luck"])
    status, begun = world.post("deploy", version=2, plan=PLAN, force=["step_shorter_than_delay"])
    assert (200, "running", 2) == (status, begun["state"], begun["candidate"])
    with world.deployment.state.reading() as state:
        entry = state.audit.entries("m")[-1]
    assert ("the-operator", ["step_shorter_than_delay"]) == (entry.actor, entry.detail["forced"])


def test_a_step_is_approved_by_the_role_that_its_plan_names(world: World) -> None:
    world.post("deploy", version=2, plan=PLAN, force=["step_shorter_than_delay"])
    assert (403, "wrong_role") == world.code("approve")
    status, approved = world.post("approve", "admin")
    assert (200, [1]) == (status, approved["approved"])


def test_a_change_says_which_rollout_and_which_step_it_is_about(world: World) -> None:
    world.post("deploy", version=2, plan=PLAN, force=["step_shorter_than_delay"])
    assert (409, "another_rollout") == world.code("pause", rollout="m-0002")
    assert (409, "nothing_to_approve") == world.code("approve", "admin", step=3)
    assert 200 == world.post("approve", "admin", rollout="m-0001", step=2)[0]
    assert (409, "nothing_to_approve") == world.code("approve", "admin", step=2)
    assert 200 == world.post("rollback", rollout="m-0001")[0]
    assert (409, "another_rollout") == world.code("rollback", rollout="m-0001")


def test_a_form_is_refused_without_a_token_a_reason_or_its_content_type(
    world: World,
) -> None:
    world.post("deploy", version=2, plan=PLAN, force=["step_shorter_than_delay"])
    good = {"reason": "why", "token": "secret-operator", "rollout": "m-0001"}

    def sent(form: dict[str, str], name: str = "rollback", **options: Any) -> httpx.Response:
        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(app=Starlette(routes=change_routes(world.deployment)))
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                sending = {"data": form} | options
                return await client.post(f"/models/m/change/{name}", **sending)

        return asyncio.run(main())

    refused = [
        sent(good | {"token": ""}),
        sent(good | {"token": "secret-viewer"}),
        sent(good | {"reason": " "}),
        sent(good | {"rollout": "m-0009"}),
        sent(good, "deploy"),
        sent({}, data=None, json=good),
        sent(good | {"reason": "x" * 20_000}),
    ]
    assert [401, 403, 400, 409, 404, 415, 413] == [page.status_code for page in refused]
    assert all("secret-" not in page.text for page in refused)
    done = sent(good)
    assert (303, "/models/m") == (done.status_code, done.headers["location"])
    with world.deployment.state.reading() as state:
        entries = state.audit.entries("m")
    assert ["deploy", "start", "roll_back"] == [entry.action for entry in entries]


def test_a_second_rollout_of_a_model_is_refused(world: World) -> None:
    world.post("deploy", version=2, plan=PLAN, force=["step_shorter_than_delay"])
    again: dict[str, Any] = {"version": 3, "plan": PLAN, "force": ["step_shorter_than_delay"]}
    assert (409, "rollout_running") == world.code("deploy", **again)


@pytest.mark.parametrize(
    ("steps", "path"),
    [
        ([{"share": 1.5, "bake_seconds": 60}], "steps[0].share"),
        (
            [{"share": 0.5, "bake_seconds": 60}, {"share": 0.2, "bake_seconds": 60}],
            "steps[1].share",
        ),
        ([{"share": 0.00005, "bake_seconds": 60}], "steps[0].share"),
    ],
)
def test_shares_that_cannot_be_are_refused_by_their_path(
    world: World, steps: list[dict[str, Any]], path: str
) -> None:
    status, answer = world.post("deploy", version=2, plan=PLAN | {"steps": steps})
    assert (422, path) == (status, answer["error"]["path"])


def test_a_candidate_with_another_signature_is_refused_unless_that_is_forced(world: World) -> None:
    other = Signature(
        features=(FeatureSpec(name="income", kind=FeatureKind.NUMERIC),), task=Task.BINARY
    )
    with world.deployment.state.transaction() as state:
        found = state.registry.version("m", 3)
        assert found is not None
        state.registry.add_version(replace(found, version=4, signature=other))
    asked: dict[str, Any] = {"version": 4, "plan": {**PLAN, "outcome_delay_seconds": 0}}
    assert (422, "signature_differs") == world.code("deploy", **asked)
    assert 200 == world.post("deploy", **asked, force=["signature_differs"])[0]


def test_an_unknown_version_a_viewer_and_an_empty_reason_are_refused(world: World) -> None:
    assert (404, "unknown_version") == world.code("deploy", version=9, plan=PLAN)
    assert 403 == world.code("rollback", "viewer")[0]
    assert 400 == world.code("rollback", reason=" ")[0]
    with world.deployment.state.reading() as state:
        assert ["deploy"] == [entry.action for entry in state.audit.entries("m")]


def test_a_testers_key_is_sent_to_a_version_and_back(world: World) -> None:
    assert 200 == world.post("deploy", version=2, plan={**PLAN, "outcome_delay_seconds": 0})[0]
    assert (401, "unauthorized") == world.code("override", "nobody", key="ada", version=2)
    status, route = world.post("override", key="ada", version=2)
    assert (200, [2]) == (status, list(route["overrides"].values()))
    assert "ada" not in str(route)
    assert (404, "version_not_live") == world.code("override", key="ada", version=3)
    status, route = world.post("override", key="ada")
    assert (200, None) == (status, route["overrides"])
    assert (404, "no_override") == world.code("override", key="ada")
    with world.deployment.state.reading() as state:
        entry = state.audit.entries("m")[-1]
    assert ("override_end", "the-operator", "why") == (entry.action, entry.actor, entry.reason)


def test_several_candidates_are_begun_dropped_and_promoted_by_name(world: World) -> None:
    plan = {**PLAN, "strategy": "ab", "outcome_delay_seconds": 0}
    assert 200 == world.post("deploy", version=2, rivals=[3], plan=plan)[0]
    assert (409, "which_candidate") == world.code("promote")
    status, rollout = world.post("rollback", version=2)
    assert (200, "running", [1]) == (status, rollout["state"], rollout["lost"])
    status, rollout = world.post("promote", version=3)
    assert (200, "promoted", 3) == (status, rollout["state"], rollout["candidate"])
