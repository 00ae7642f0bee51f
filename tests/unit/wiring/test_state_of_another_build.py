"""What another build saved in another form is begun anew, told, and holds nothing up."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest
from tests.unit.wiring.test_watcher_state_is_bounded import deployed, hour, outcomes

from trimtab.config import JournalConfig
from trimtab.log_events import Event
from trimtab.record.journal import Journal
from trimtab.telemetry import Metrics
from trimtab.types import Verdict
from trimtab.wiring.clock import SystemClock
from trimtab.wiring.deployment import Deployment
from trimtab.wiring.watching import Watching

OTHER = msgspec.msgpack.encode({"once": "otherwise"})
FORMS = {
    "no pair": OTHER,
    "a pair of others": msgspec.msgpack.encode((OTHER, OTHER)),
    "torn": b"\x92\xc4",
}


def watched(deployment: Deployment, journal: Journal, hours: range, watching: Watching) -> None:
    for number in hours:
        made = hour(number)
        journal.append(made)
        with deployment.state.transaction() as state:
            state.outcomes.add(outcomes(made[::2]))
        while watching.tick().records:
            pass


def verdicts(deployment: Deployment, subject: str) -> list[Verdict]:
    with deployment.state.reading() as state:
        return list(state.watch.verdicts("flights_late", subject))


@pytest.mark.parametrize("form", FORMS)
def test_it_begins_anew_and_says_so(
    tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    deployment = deployed(tmp_path)
    journal = Journal(deployment.journal_dir, JournalConfig(), Metrics(), SystemClock())
    watched(deployment, journal, range(4), Watching.open(deployment, Metrics()))
    with deployment.state.transaction() as state:
        keys = [key for key, _ in state.watch.blobs("").items()]
        for key in keys:
            state.watch.save_blob(key, FORMS[form])
        state.outcomes.add(outcomes(hour(0)[1::2]))  # its window has been yielded
    subjects = "data_drift", "prediction_drift", "performance"
    before = {subject: verdicts(deployment, subject) for subject in subjects}
    with caplog.at_level(logging.ERROR):
        watched(deployment, journal, range(4, 9), Watching.open(deployment, Metrics()))
    journal.close()
    after = {subject: verdicts(deployment, subject) for subject in subjects}
    deployment.close()
    for subject in subjects:
        assert len(after[subject]) >= len(before[subject]) + 3
    unread = [one for one in caplog.records if one.getMessage() == Event.SAVED_STATE_UNREADABLE]
    told = {record.__dict__["key"] for record in unread}
    assert told <= set(keys)
    assert {f"flights_late/1/{subject}" for subject in subjects} <= told
    assert "closed window" in {record.__dict__["what"] for record in unread}
