from __future__ import annotations

from collections.abc import Callable

from trimtab.config import FeaturesConfig
from trimtab.features.breaker import Breaker
from trimtab.telemetry import Metrics
from trimtab.testing import FakeClock

CONFIG = FeaturesConfig(breaker_failures=3, breaker_seconds=2.0)


def shown(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("ml_feature_breaker_open", {"store": "online"})


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed("gone")


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    metrics = Metrics()
    breaker = Breaker("online", metrics, FakeClock(), CONFIG)
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert (breaker.allow(), breaker.is_open, shown(metrics)) == (True, False, 0.0)
    fail(breaker, 1)
    assert (breaker.allow(), breaker.is_open, shown(metrics)) == (False, True, 1.0)


def test_every_failure_is_counted() -> None:
    metrics = Metrics()
    fail(Breaker("online", metrics, FakeClock(), CONFIG), 4)
    found = metrics.registry.get_sample_value(
        "ml_feature_store_failures_total", {"store": "online"}
    )
    assert found == 4.0


def test_half_open_it_allows_one_probe_at_a_time() -> None:
    clock = FakeClock()
    breaker = Breaker("online", Metrics(), clock, CONFIG)
    fail(breaker, 3)
    clock.advance(1.9)
    assert [breaker.allow() for _ in range(3)] == [False, False, False]
    clock.advance(0.1)
    assert [breaker.allow() for _ in range(3)] == [True, False, False]


def test_a_failed_probe_keeps_it_open_for_another_period() -> None:
    clock = FakeClock()
    breaker = Breaker("online", Metrics(), clock, CONFIG)
    fail(breaker, 3)
    clock.advance(2.0)
    assert breaker.allow()
    fail(breaker, 1)
    clock.advance(1.9)
    assert not breaker.allow()
    clock.advance(0.1)
    assert breaker.allow()


def test_a_successful_probe_closes_it_at_once() -> None:
    clock, metrics = FakeClock(), Metrics()
    breaker = Breaker("online", metrics, clock, CONFIG)
    fail(breaker, 3)
    clock.advance(2.0)
    assert breaker.allow()
    breaker.succeeded()
    assert [breaker.allow() for _ in range(3)] == [True, True, True]
    assert shown(metrics) == 0.0
    fail(breaker, 2)
    assert not breaker.is_open


def test_a_probe_that_never_reports_does_not_keep_it_open() -> None:
    clock = FakeClock()
    breaker = Breaker("online", Metrics(), clock, CONFIG)
    fail(breaker, 3)
    clock.advance(2.0)
    assert breaker.allow()
    clock.advance(2.0)
    assert breaker.allow()


def test_the_gauge_tells_open_half_open_and_closed() -> None:
    clock, metrics = FakeClock(), Metrics()
    breaker = Breaker("online", metrics, clock, CONFIG)
    seen = [shown(metrics)]
    fail(breaker, 3)
    seen.append(shown(metrics))
    reports: list[Callable[[], None]] = [
        lambda: fail(breaker, 1),
        breaker.undecided,
        breaker.succeeded,
    ]
    for report in reports:
        clock.advance(2.0)
        assert breaker.allow()
        seen.append(shown(metrics))
        report()
        seen.append(shown(metrics))
    assert seen == [0.0, 1.0, 0.5, 1.0, 0.5, 1.0, 0.5, 0.0]
    breaker.undecided()
    assert shown(metrics) == 0.0
