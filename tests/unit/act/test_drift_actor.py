"""Verdicts become alerts: once an excursion, closed when steady."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from trimtab.act.drift_actor import DriftActor
from trimtab.config import WatchConfig
from trimtab.protocols import StateStore
from trimtab.store.state import open_state
from trimtab.types import Alert, Arm, Comparison, Route, Severity, State, Verdict, Window

MAY_2 = 1_367_452_800.0
DAY = 86_400.0


def comparison(name: str, score: float, words: str) -> Comparison:
    return Comparison(
        name=name,
        statistic="ks",
        score=score,
        noise_floor=0.01,
        floor=0.05,
        p_value=1e-9,
        words=words,
    )


ALARM = Verdict(
    subject="data_drift",
    model="flights_late",
    version=1,
    start=MAY_2 + DAY,
    end=MAY_2 + 2 * DAY,
    rows=10_020,
    state=State.DRIFTED,
    score=0.2,
    evidence=2_000.0,
    alarm_at=1_000.0,
    alarmed=True,
    since=MAY_2,
    comparisons=(
        comparison("temp", 0.2, "median 39.9 → 64.9"),
        comparison("wind", 0.01, "unchanged"),
        comparison("dep_hour", 0.1, ""),
    ),
    flagged=("temp", "dep_hour"),
    words="2 of 3 differ from the reference.",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    with state.transaction() as tx:
        tx.control.put_route(route_to(1))
    yield state
    state.close()


def route_to(version: int) -> Route:
    """All of the traffic to one version."""
    return Route(
        model="flights_late",
        epoch=version,
        arms=(Arm(name="champion", version=version, share=1.0),),
        slots=bytes(10_000),
        salt="s",
    )


def act(store: StateStore, verdict: Verdict) -> list[Alert]:
    window = Window(
        subject=verdict.subject,
        model=verdict.model,
        version=verdict.version,
        start=verdict.start,
        end=verdict.end,
        rows=verdict.rows,
        content=None,
    )
    with store.transaction() as state:
        alerts = list(DriftActor(WatchConfig()).act(window, verdict, state))
        for alert in alerts:
            state.alerts.open(alert, ())
    return alerts


def titles(store: StateStore, **changes: object) -> list[str]:
    return [alert.title for alert in act(store, msgspec.structs.replace(ALARM, **changes))]


def open_titles(store: StateStore) -> list[str]:
    with store.reading() as state:
        return [alert.title for alert, _, closed in state.alerts.alerts() if closed is None]


def test_a_drift_alarm_is_a_ticket_in_plain_words(store: StateStore) -> None:
    (alert,) = act(store, ALARM)
    assert alert == Alert(
        key="flights_late/1/data_drift",
        severity=Severity.TICKET,
        title="flights_late: data drift since 2013-05-02",
        body="Version 1 of flights_late, 10,020 rows from 2013-05-03 00:00 to 2013-05-04 00:00 UTC."
        "\n- temp: median 39.9 → 64.9\n- dep_hour: differs by 0.10",
        model="flights_late",
        version=1,
        event_time=MAY_2 + 2 * DAY,
        runbook="data_drift",
    )


def test_a_version_without_traffic_alerts_nobody_and_its_alerts_close(store: StateStore) -> None:
    assert ["flights_late: data drift since 2013-05-02"] == titles(store)
    with store.transaction() as state:
        state.control.put_route(route_to(2))
    assert [] == titles(store)
    assert [] == open_titles(store)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"score": 0.29}, ["flights_late: data drift since 2013-05-02"]),
        (
            {"score": 0.3},
            [
                "flights_late: data drift since 2013-05-02",
                "Retrain flights_late: data drift since 2013-05-02",
            ],
        ),
        (
            {"subject": "prediction_drift", "score": 0.9},
            ["flights_late: prediction drift since 2013-05-02"],
        ),
        (
            {"subject": "performance", "score": 0.05},
            ["Retrain flights_late: performance drift since 2013-05-02"],
        ),
        ({"alarmed": False, "score": 0.9}, []),
        ({"state": State.WATCH, "alarmed": False}, []),
        ({"state": State.NOT_ENOUGH_DATA}, []),
        ({"since": None}, ["flights_late: data drift since 2013-05-03"]),
    ],
)
def test_what_each_verdict_asks_for(
    store: StateStore, changes: dict[str, object], expected: list[str]
) -> None:
    assert titles(store, **changes) == expected


def test_an_excursion_has_one_retraining_alert_and_ends_when_steady(store: StateStore) -> None:
    titles(store)
    titles(store, score=0.4)
    titles(store, score=0.5)
    with store.reading() as state:
        found = [(alert.title, repeats) for alert, repeats, _ in state.alerts.alerts()]
    assert found == [
        ("flights_late: data drift since 2013-05-02", 2),
        ("Retrain flights_late: data drift since 2013-05-02", 1),
    ]
    assert titles(store, state=State.STEADY, alarmed=False) == []
    assert open_titles(store) == []
    titles(store, score=0.4)
    assert len(open_titles(store)) == 2


def test_too_little_data_closes_nothing(store: StateStore) -> None:
    titles(store)
    titles(store, state=State.NOT_ENOUGH_DATA, alarmed=False)
    titles(store, state=State.WATCH, alarmed=False)
    assert len(open_titles(store)) == 1


def test_another_subject_of_the_same_version_has_alerts_of_its_own(store: StateStore) -> None:
    titles(store, subject="performance")
    titles(store, subject="data_drift", state=State.STEADY, alarmed=False)
    assert open_titles(store) == ["Retrain flights_late: performance drift since 2013-05-02"]


def test_an_alarm_without_a_flag_says_what_the_judge_says(store: StateStore) -> None:
    (alert,) = act(store, msgspec.structs.replace(ALARM, flagged=()))
    assert alert.body.splitlines()[1] == "2 of 3 differ from the reference."
