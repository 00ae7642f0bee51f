"""Availability and error budget follow from the requests that are counted."""

from __future__ import annotations

import pytest

from trimtab.metric_files import exposition
from trimtab.telemetry import UNKNOWN, Metrics


def told(requests: dict[tuple[str, int], int], target: float) -> dict[str, float]:
    metrics = Metrics()
    for (model, code), amount in requests.items():
        metrics.count("ml_requests_total", amount, model=model, code=code)
    lines = exposition(metrics.registry, target=lambda _: target).decode().splitlines()
    names = [line.split(" ")[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    found = [line.rpartition(" ") for line in lines if line.startswith(("ml_avail", "ml_error"))]
    return {name: float(value) for name, _, value in found}


def test_faults_of_the_server_count_and_those_of_clients_do_not() -> None:
    found = told({("a", 200): 990, ("a", 422): 8, ("a", 500): 1, ("a", 503): 1}, 0.99)
    assert found == pytest.approx(
        {'ml_availability_ratio{model="a"}': 0.998, 'ml_error_budget_ratio{model="a"}': 0.8}
    )


def test_a_budget_can_be_overspent_and_models_have_their_own() -> None:
    found = told({("a", 200): 9, ("a", 500): 1, ("b", 200): 5, (UNKNOWN, 503): 7}, 0.95)
    assert found == pytest.approx(
        {
            'ml_availability_ratio{model="a"}': 0.9,
            'ml_error_budget_ratio{model="a"}': -1.0,
            'ml_availability_ratio{model="b"}': 1.0,
            'ml_error_budget_ratio{model="b"}': 1.0,
        }
    )


def test_without_requests_nothing_is_claimed() -> None:
    assert {} == told({}, 0.999)
