"""Alerts are opened once, reach the channels of their severity, and are delivered at least once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from trimtab.act.alerts import Deliverer, alert_id, open_alerts, reached, retry_seconds
from trimtab.config import ChannelConfig
from trimtab.protocols import AlertChannel, StateStore
from trimtab.store.state import open_state
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock
from trimtab.types import EVERY_CHANNEL, Alert, AuditEntry, Severity

CHANNELS = {
    "all": ChannelConfig(kind="log"),
    "tickets": ChannelConfig(kind="log", min_severity="ticket"),
    "pager": ChannelConfig(kind="log", min_severity="page"),
}


class Phone:
    """A channel that keeps what it is sent, and fails as often as told."""

    def __init__(self, name: str, failures: int = 0) -> None:
        self.name = name
        self.sent: list[Alert] = []
        self.failures = failures

    async def send(self, alert: Alert) -> None:
        if self.failures:
            self.failures -= 1
            message = "line is busy"
            raise RuntimeError(message)
        self.sent.append(alert)


def alert(key: str = "drift", severity: Severity = Severity.TICKET) -> Alert:
    return Alert(
        key=key,
        severity=severity,
        title="flights_late: data drift since 2013-05-02",
        body="",
        model="flights_late",
        version=1,
        event_time=100.0,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    yield state
    state.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000.0)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def opened(store: StateStore, metrics: Metrics, *alerts: Alert) -> None:
    with store.transaction() as state:
        open_alerts(state, alerts, channels=CHANNELS, metrics=metrics)


def deliverer(
    store: StateStore, clock: FakeClock, metrics: Metrics, *phones: AlertChannel
) -> Deliverer:
    return Deliverer(
        store, {phone.name: phone for phone in phones}, CHANNELS, clock, metrics, jitter=lambda: 1.0
    )


def failures(metrics: Metrics, channel: str) -> float | None:
    return metrics.registry.get_sample_value("ml_alert_failures_total", {"channel": channel})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("severity", "reached"),
    [
        (Severity.INFO, ["all"]),
        (Severity.TICKET, ["all", "tickets"]),
        (Severity.PAGE, ["all", "tickets", "pager"]),
    ],
)
async def test_an_alert_reaches_the_channels_of_its_severity(
    store: StateStore, clock: FakeClock, metrics: Metrics, severity: Severity, reached: list[str]
) -> None:
    phones = [Phone(name) for name in CHANNELS]
    opened(store, metrics, alert(severity=severity))
    assert await deliverer(store, clock, metrics, *phones).deliver_due() == len(reached)
    assert [phone.name for phone in phones if phone.sent] == reached


@pytest.mark.anyio
async def test_a_repeat_of_an_open_alert_is_counted_and_not_sent(
    store: StateStore, clock: FakeClock, metrics: Metrics
) -> None:
    phones = [Phone(name) for name in CHANNELS]
    opened(store, metrics, alert(), alert())
    opened(store, metrics, alert())
    assert await deliverer(store, clock, metrics, *phones).deliver_due() == 2
    with store.reading() as state:
        assert state.alerts.alerts() == [(alert(), 2, None)]
    labels = {"model": "flights_late", "severity": "ticket"}
    assert metrics.registry.get_sample_value("ml_alerts_total", labels) == 1.0


@pytest.mark.anyio
async def test_what_was_delivered_is_not_sent_again(
    store: StateStore, clock: FakeClock, metrics: Metrics
) -> None:
    phones = [Phone(name) for name in CHANNELS]
    opened(store, metrics, alert())
    delivering = deliverer(store, clock, metrics, *phones)
    await delivering.deliver_due()
    clock.advance(1e6)
    assert await delivering.deliver_due() == 0
    assert [len(phone.sent) for phone in phones] == [1, 1, 0]


@pytest.mark.anyio
async def test_a_failed_delivery_is_tried_again_later_and_the_others_are_not_held_up(
    store: StateStore, clock: FakeClock, metrics: Metrics
) -> None:
    steady, flaky = Phone("all"), Phone("tickets", failures=2)
    opened(store, metrics, alert())
    delivering = deliverer(store, clock, metrics, steady, flaky)
    delivered = [await delivering.deliver_due()]
    for seconds in (0.9, 0.1, 1.9, 0.1):
        clock.advance(seconds)
        delivered.append(await delivering.deliver_due())
    assert delivered == [1, 0, 0, 0, 1]
    assert (len(steady.sent), len(flaky.sent)) == (1, 1)
    assert failures(metrics, "tickets") == 2.0


@pytest.mark.anyio
async def test_the_queue_outlives_the_process(
    store: StateStore, clock: FakeClock, metrics: Metrics
) -> None:
    opened(store, metrics, alert())
    await deliverer(store, clock, metrics, Phone("all", 1), Phone("tickets", 1)).deliver_due()
    clock.advance(10.0)
    phones = Phone("all"), Phone("tickets")
    assert await deliverer(store, clock, metrics, *phones).deliver_due() == 2
    assert [phone.sent for phone in phones] == [[alert()], [alert()]]


@pytest.mark.anyio
async def test_what_waits_for_a_removed_channel_is_dropped_and_counted(
    store: StateStore, clock: FakeClock, metrics: Metrics
) -> None:
    opened(store, metrics, alert(severity=Severity.INFO))
    delivering = deliverer(store, clock, metrics)
    await delivering.deliver_due()
    clock.advance(1e6)
    assert await delivering.deliver_due() == 0
    assert failures(metrics, "all") == 1.0


def change(severity: Severity = Severity.INFO, seq: int = 7) -> Alert:
    entry = AuditEntry(
        seq=seq,
        at=90.0,
        actor="ada",
        action="ramp",
        model="flights_late",
        detail={"candidate": 2},
        reason="looks well",
        previous="",
        hash="",
    )
    return replace(alert(f"flights_late/change/{seq}", severity), change=entry)


@pytest.mark.anyio
async def test_a_change_waits_for_whatever_channels_there_are_when_it_is_delivered(
    store: StateStore, clock: FakeClock, metrics: Metrics
) -> None:
    with store.transaction() as state:
        state.alerts.open(change(), [EVERY_CHANNEL])
        state.alerts.close(change().key, 100.0)
    phones = [Phone(name) for name in CHANNELS]
    delivering = deliverer(store, clock, metrics, *phones)
    assert [1, 0] == [await delivering.deliver_due(), await delivering.deliver_due()]
    assert [[change()], [], []] == [phone.sent for phone in phones]
    labels = {"model": "flights_late", "severity": "info"}
    assert metrics.registry.get_sample_value("ml_alerts_total", labels) == 1.0


@pytest.mark.anyio
async def test_a_change_that_one_channel_refuses_is_tried_again_there_alone(
    store: StateStore, clock: FakeClock, metrics: Metrics
) -> None:
    with store.transaction() as state:
        state.alerts.open(change(Severity.TICKET), [EVERY_CHANNEL])
    steady, flaky = Phone("all"), Phone("tickets", failures=1)
    assert 1 == await deliverer(store, clock, metrics, steady, flaky).deliver_due()
    clock.advance(1.0)
    assert 1 == await deliverer(store, clock, metrics, steady, flaky).deliver_due()
    assert [[change(Severity.TICKET)]] * 2 == [steady.sent, flaky.sent]


@pytest.mark.parametrize(
    ("changes", "min_severity", "said"),
    [
        ("by_severity", "info", ["change", "rollback", "alert"]),
        ("by_severity", "ticket", ["rollback", "alert"]),
        ("by_severity", "page", []),
        ("all", "page", ["change", "rollback"]),
        ("none", "info", ["rollback", "alert"]),
    ],
)
def test_a_channel_hears_of_changes_as_it_is_set(
    changes: Any, min_severity: Any, said: list[str]
) -> None:
    channel = ChannelConfig(kind="log", changes=changes, min_severity=min_severity)
    told = {"change": change(), "rollback": change(Severity.TICKET), "alert": alert()}
    assert said == [name for name, one in told.items() if reached(one, {"it": channel})]


def test_two_changes_have_two_ids() -> None:
    assert alert_id(change()) == alert_id(change()) != alert_id(change(seq=8))


def test_retries_wait_longer_and_longer_up_to_a_quarter_of_an_hour() -> None:
    waits = [retry_seconds(attempts, 1.0) for attempts in range(12)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    assert retry_seconds(10**6, 0.0) == 450.0


def test_an_alert_keeps_its_id_and_shares_it_with_no_other() -> None:
    later = Alert(
        key="drift",
        severity=Severity.TICKET,
        title="",
        body="",
        model="m",
        version=1,
        event_time=1.0,
    )
    ids = {alert_id(alert()), alert_id(alert()), alert_id(alert("other")), alert_id(later)}
    assert len(ids) == 3
