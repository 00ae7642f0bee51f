"""Lines of requests are spared, and what was left out is told."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from trimtab.log_events import Event
from trimtab.serve.child import log_json
from trimtab.serve.sparing import PER_SECOND, Sparing


def line(event: str, at: float, **more: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": event, "created": at, **more})


def test_each_event_model_and_code_has_its_lines_a_second() -> None:
    sparing = Sparing()
    kinds = [{"model": "a:1"}, {"model": "b:1"}, {"model": "a:1", "code": "model_raised"}]
    for more in kinds:
        told = [sparing.filter(line(Event.MODEL_FAILED, 7.0 + i / 100, **more)) for i in range(20)]
        assert [True] * PER_SECOND + [False] * (20 - PER_SECOND) == told


@pytest.mark.parametrize("later", [8.0, 3.0])
def test_the_next_line_says_how_many_were_left_out(later: float) -> None:
    sparing = Sparing()
    for _ in range(20):
        sparing.filter(line(Event.REQUEST_FAILED, 7.5, code="x"))
    records = [line(Event.REQUEST_FAILED, later, code="x") for _ in range(2)]
    assert all(sparing.filter(record) for record in records)
    assert [20 - PER_SECOND, None] == [getattr(r, "left_out", None) for r in records]


def test_what_no_request_logs_is_always_written() -> None:
    sparing = Sparing()
    assert all(sparing.filter(line(Event.WORKER_DIED, 1.0)) for _ in range(100))


def test_lines_of_a_server_are_spared(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.root.handlers[:], logging.root.level
    try:
        log_json()
        for _ in range(1_000):
            logging.getLogger("trimtab").warning(Event.MODEL_FAILED, extra={"model": "m:1"})
    finally:
        logging.root.handlers, logging.root.level = before
    lines = [msgspec.json.decode(text) for text in capsys.readouterr().err.splitlines()]
    assert {"model_failed"} == {found["event"] for found in lines}
    assert PER_SECOND <= len(lines) <= 10 * PER_SECOND
