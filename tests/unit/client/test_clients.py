"""Both clients against a scripted transport: what they send, what they read, what they raise."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest

from trimtab.client import AsyncClient, Client, Retry, RowRequest
from trimtab.errors import (
    Conflict,
    InvalidRequest,
    InvalidRow,
    ModelFailure,
    NotFound,
    Refused,
    TrimtabError,
    Unavailable,
)

Step = httpx.Response | Exception


class Script(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers as written, one step a request, and keeps what was asked."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._next(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self._next(request)

    def _next(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def body(self, at: int = -1) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.asked[at].content)
        return found


class Both:
    """The same call of either client, on a script; pauses are kept and not waited for."""

    def __init__(self, *, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self.pauses: list[float] = []

    def ask(self, script: Script, call: Callable[[Any], Any], **options: Any) -> Any:
        if self.asynchronous:
            return asyncio.run(self._ask(script, call, options))
        with Client("http://server", transport=script, wait=self.pauses.append, **options) as one:
            found = call(one)
            return list(found) if inspect.isgenerator(found) else found

    async def _ask(
        self, script: Script, call: Callable[[Any], Any], options: dict[str, Any]
    ) -> Any:
        async def wait(seconds: float) -> None:
            self.pauses.append(seconds)

        async with AsyncClient("http://server", transport=script, wait=wait, **options) as one:
            found = call(one)
            if inspect.isasyncgen(found):
                return [prediction async for prediction in found]
            return await found


@pytest.fixture(params=[False, True], ids=["blocking", "asynchronous"])
def both(request: pytest.FixtureRequest) -> Both:
    return Both(asynchronous=request.param)


def answered(*names: str) -> httpx.Response:
    made = [
        {
            "prediction_id": name,
            "version": 2,
            "arm": "champion",
            "score": 0.5,
            "outputs": [0.5, 0.5],
            "decision": "1",
            "sources": "q",
            "later": "a field of a newer server",
        }
        for name in names
    ]
    return httpx.Response(200, json={"model": "m", "epoch": 1, "predictions": made})


def refused(status: int, code: str = "some_code", **headers: str) -> httpx.Response:
    told = {"code": code, "message": "Wrong.", "hint": "Do better.", "path": "rows[0].key"}
    return httpx.Response(status, json={"error": told}, headers=headers)


def test_one_row(both: Both) -> None:
    script = Script(answered("p-1"))
    found = both.ask(
        script,
        lambda client: client.predict("a/b c", {"x": 1.5, "y": None}, key="u", event_time=3.0),
        deadline_ms=1_500,
    )
    assert ("p-1", 2, 0.5, "1") == (found.prediction_id, found.version, found.score, found.decision)
    row = {"features": {"x": 1.5, "y": None}, "key": "u", "event_time": 3.0}
    assert {"rows": [row]} == script.body()
    assert b"/models/a%2Fb%20c/predict" == script.asked[0].url.raw_path
    assert 1 <= int(script.asked[0].headers["trimtab-deadline-ms"]) <= 1_500


def test_a_batch_is_cut_and_joined_in_order(both: Both) -> None:
    script = Script(answered("a", "b"), answered("c"))
    rows = [{"x": 1.0}, RowRequest(features={"x": 2.0}, key="u", prediction_id="b"), {"x": 3.0}]
    found = both.ask(script, lambda client: client.batch("m", iter(rows), chunk_rows=2))
    assert ["a", "b", "c"] == [prediction.prediction_id for prediction in found]
    assert {"features": {"x": 2.0}, "key": "u", "prediction_id": "b"} == script.body(0)["rows"][1]
    assert [2, 1] == [len(script.body(at)["rows"]) for at in (0, 1)]


@pytest.mark.parametrize("chunk_rows", [0, -1])
def test_a_batch_is_not_lost_in_chunks_without_rows(both: Both, chunk_rows: int) -> None:
    with pytest.raises(InvalidRequest, match=f"chunk_rows is {chunk_rows}"):
        both.ask(Script(), lambda client: client.batch("m", [{}], chunk_rows=chunk_rows))


def test_scalars_of_numpy_are_sent_as_what_they_are(both: Both) -> None:
    script = Script(answered("p-1"))
    row = {
        "x": np.float32(0.5), "n": np.int64(3), "b": np.bool_(True), "t": np.str_("é"),
        "missing": np.float64("nan"), "absent": math.nan,
    }  # fmt: skip
    both.ask(script, lambda client: client.predict("m", row))
    sent = {"x": 0.5, "n": 3, "b": True, "t": "é", "missing": None, "absent": None}
    assert [{"features": sent}] == script.body()["rows"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (math.inf, "not_finite"),
        (np.float64("-inf"), "not_finite"),
        (datetime(2026, 1, 1, tzinfo=UTC), "wrong_type"),
        ([1.0], "wrong_type"),
        (np.array([1.0]), "wrong_type"),
    ],
)
def test_what_json_cannot_say_is_refused_before_it_is_sent(
    both: Both, value: Any, code: str
) -> None:
    rows = [{"x": 1.0}, {"x": value}]
    with pytest.raises(InvalidRow) as wrong:
        both.ask(Script(), lambda client: client.batch("m", rows))
    assert (code, "rows[1].features.x") == (wrong.value.code, wrong.value.path)


def test_outcomes(both: Both) -> None:
    receipts = [{"prediction_id": "a", "status": "recorded", "message": "", "hint": ""}]
    script = Script(*[httpx.Response(200, json={"outcomes": receipts})] * 2)
    one = both.ask(script, lambda client: client.outcome("m", "a", 1))
    (many,) = both.ask(script, lambda client: client.outcomes("m", [("a", True, 9.0)]))
    assert ["recorded", "recorded"] == [one.status, many.status]
    assert {"outcomes": [{"prediction_id": "a", "value": 1}]} == script.body(0)
    assert {"outcomes": [{"prediction_id": "a", "value": True, "event_time": 9.0}]} == script.body()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest), (401, Refused), (403, Refused), (404, NotFound), (409, Conflict),
        (413, InvalidRequest), (415, InvalidRequest), (422, InvalidRow), (500, ModelFailure),
        (504, Unavailable), (418, TrimtabError),
    ],
)  # fmt: skip
def test_refusals_are_typed_errors(both: Both, status: int, kind: type[TrimtabError]) -> None:
    with pytest.raises(kind, match="Wrong") as told:
        both.ask(Script(refused(status)), lambda client: client.predict("m", {}))
    error = told.value
    assert (kind, "some_code", "Do better.") == (type(error), error.code, error.hint)
    assert "rows[0].key" == error.path


def test_an_answer_of_something_else_is_told_as_what_it_is(both: Both) -> None:
    with pytest.raises(TrimtabError, match="<html>") as proxy:
        both.ask(Script(httpx.Response(404, text="<html>")), lambda client: client.predict("m", {}))
    with pytest.raises(TrimtabError, match="answer is not what") as strange:
        both.ask(Script(httpx.Response(200, text="fine")), lambda client: client.predict("m", {}))
    assert ["http_404", "unreadable_answer"] == [proxy.value.code, strange.value.code]


def test_a_busy_server_is_asked_again_after_the_time_it_asked_for(both: Both) -> None:
    script = Script(refused(503, "overloaded", **{"retry-after": "3"}), answered("p-1"))
    found = both.ask(script, lambda client: client.predict("m", {}))
    assert "p-1" == found.prediction_id
    assert [3.0] == both.pauses
    assert 2 == len(script.asked)


def test_a_date_to_ask_again_is_one_of_the_server_s_clock(both: Both) -> None:
    later = {
        "date": "Fri, 27 Nov 2026 10:00:00 GMT",
        "retry-after": "Fri, 27 Nov 2026 10:00:04 GMT",
    }
    script = Script(refused(503, **later), answered("p-1"))
    both.ask(script, lambda client: client.predict("m", {}))
    assert [4.0] == both.pauses


@pytest.mark.parametrize("said", ["soon", "Fri, 27 Nov 2026 10:00:04 GMT", "-1"])
def test_a_time_to_ask_again_that_cannot_be_read_is_left_out(both: Both, said: str) -> None:
    script = Script(refused(503, **{"retry-after": said}), answered("p-1"))
    both.ask(script, lambda client: client.predict("m", {}))
    (pause,) = both.pauses
    assert pause < 1.0


def test_a_broken_connection_is_tried_again_only_with_an_own_id(both: Both) -> None:
    broken = httpx.ReadError("reset")
    script = Script(broken, answered("mine"))
    found = both.ask(script, lambda client: client.predict("m", {}, prediction_id="mine"))
    assert "mine" == found.prediction_id
    with pytest.raises(Unavailable) as told:
        both.ask(Script(broken, answered("x")), lambda client: client.predict("m", {}))
    assert "unreachable" == told.value.code


def test_a_server_that_is_not_there_is_tried_and_told(both: Both) -> None:
    script = Script(*[httpx.ConnectError("refused")] * 3)
    with pytest.raises(Unavailable, match="refused") as told:
        both.ask(script, lambda client: client.predict("m", {}), retry=Retry(attempts=3))
    assert (3, "unreachable") == (len(script.asked), told.value.code)
    assert not both.ask(Script(httpx.ConnectError("refused")), lambda client: client.is_ready())


def test_a_deadline_while_waiting_for_the_answer(both: Both) -> None:
    with pytest.raises(Unavailable) as told:
        both.ask(Script(httpx.ReadTimeout("late")), lambda client: client.predict("m", {}))
    assert "deadline_exceeded" == told.value.code


def test_a_token_goes_along(both: Both) -> None:
    script = Script(httpx.Response(200, json={"name": "m"}))
    assert {"name": "m"} == both.ask(script, lambda client: client.model("m"), token="s3cret")
    assert "Bearer s3cret" == script.asked[0].headers["authorization"]
