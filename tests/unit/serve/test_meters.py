from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from trimtab.serve.meters import Meters, Tally
from trimtab.telemetry import LATENCY_BUCKETS, STAGE_BUCKETS, STAGES, Metrics


def told(metrics: Metrics) -> set[str]:
    return set(generate_latest(metrics.registry).decode().splitlines())


def test_requests_are_counted_by_model_and_status() -> None:
    metrics = Metrics()
    meters = Meters(metrics, {"m"}.__contains__)
    for status in (200, 200, 422):
        meters.answered("m", status)
    assert {
        'ml_requests_total{code="200",model="m"} 2.0',
        'ml_requests_total{code="422",model="m"} 1.0',
    } <= told(metrics)


def test_names_that_no_model_bears_share_one_label() -> None:
    metrics = Metrics()
    meters = Meters(metrics, {"m"}.__contains__)
    for name in ("a", "b", "c"):
        meters.answered(name, 404)
    lines = told(metrics)
    assert 'ml_requests_total{code="404",model="unknown"} 3.0' in lines
    assert not any('model="a"' in line for line in lines)


def test_answers_are_timed_by_model() -> None:
    metrics = Metrics()
    meters = Meters(metrics, {"m"}.__contains__)
    meters.took("m", 0.25)
    meters.took("m", 0.5)
    assert 'ml_prediction_duration_seconds_sum{model="m"} 0.75' in told(metrics)


def test_what_is_gathered_in_turns_adds_up_to_the_same() -> None:
    one_by_one, gathered, calls = Metrics(), Metrics(), list[Callable[[], None]]()
    gathered.gather(calls.append)
    seconds = [*LATENCY_BUCKETS, 0.0, 0.0007, 0.3, 99.0]
    for metrics in (one_by_one, gathered):
        count = metrics.counter("ml_requests_total", later=True, model="m", code=200)
        observe = metrics.observer("ml_prediction_duration_seconds", model="m")
        for turn in (seconds, seconds[:1], seconds[5:]):
            for value in turn:
                count(1.0)
                observe(value)
            assert len(calls) == (2 if metrics is gathered else 0)
            while calls:
                calls.pop()()
    assert values(gathered) == pytest.approx(values(one_by_one))


def test_calls_are_put_off_once_for_all_and_made_at_once_where_asked() -> None:
    timers, made = list[tuple[float, Callable[[], None]]](), list[int]()
    tally = Tally(lambda seconds, call: timers.append((seconds, call)), 0.5)
    tally.soon(lambda: made.append(1))
    tally.soon(lambda: made.append(2))
    assert ([seconds for seconds, _ in timers], made) == ([0.5], [])
    tally.settle()
    assert made == [1, 2]
    tally.soon(lambda: made.append(3))
    assert len(timers) == 1  # it is due already
    timers[0][1]()
    assert made == [1, 2, 3]
    tally.soon(lambda: made.append(4))
    assert (len(timers), made) == (2, [1, 2, 3])


def values(metrics: Metrics) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in told(metrics) if line[0] != "#"]
    return {name: float(value) for name, _, value in lines if "_created" not in name}


def test_many_values_at_once_fall_into_the_buckets_that_the_library_puts_them_in() -> None:
    metrics, library = Metrics(), CollectorRegistry()
    name, values = "ml_prediction_duration_seconds", [99.0, *LATENCY_BUCKETS, 0.0, 0.0007, 0.3, 0.3]
    theirs = Histogram(name, "", ["model"], registry=library, buckets=LATENCY_BUCKETS).labels("m")
    for value in values:
        theirs.observe(value)
    metrics.observer(name, model="m")(*values)
    assert counts(generate_latest(library), name) == counts(generate_latest(metrics.registry), name)


def test_stages_of_many_turns_are_those_of_each_request() -> None:
    metrics, library, calls = Metrics(), CollectorRegistry(), list[Callable[[], None]]()
    metrics.gather(calls.append)
    name = "ml_request_stage_seconds"
    theirs = Histogram(name, "", ["model", "stage"], registry=library, buckets=STAGE_BUCKETS)
    take = metrics.stages("m")
    for requests, ends in (
        (1, (0.0, 0.25, 0.5, 0.75, 1.0)),
        (3, (2.0, 2.0, 2.125, 3.0, 3.5)),
        (1, (4.0, 4.5, 4.5, 4.5, 4.5)),
    ):
        take(requests, ends)
        for at, stage in enumerate(STAGES):
            for _ in range(requests):
                theirs.labels("m", stage).observe(ends[at + 1] - ends[at])
    (call,) = calls
    call()
    assert counts(generate_latest(library), name) == counts(generate_latest(metrics.registry), name)


def counts(text: bytes, name: str) -> set[str]:
    """The lines that say how many values a histogram has, by bucket."""
    lines = text.decode().splitlines()
    return {line for line in lines if line.startswith((f"{name}_bucket", f"{name}_count"))}
