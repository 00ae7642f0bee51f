"""Budgets are read exactly, and whatever cannot be meant is refused by name."""

from __future__ import annotations

import pytest

from trimtab.errors import InvalidPlan
from trimtab.optimize.budget import Budget, Measure, parse_budget


def test_every_limit_is_read_in_base_units() -> None:
    budget = parse_budget(
        "auc<=0.002, max_abs<=1e-2,flips<=10,rss<=500MB,disk<=1GiB,load<=50ms,p50<=30us,p99<=1µs,"
        "throughput>=20000"
    )
    assert [(limit.name, limit.value) for limit in budget.limits] == [
        ("auc", 0.002), ("max_abs", 0.01), ("flips", 10.0), ("rss", 5e8), ("disk", 2.0**30),
        ("load", 0.05), ("p50", pytest.approx(3e-5)), ("p99", 1e-6), ("throughput", 20_000.0),
    ]  # fmt: skip
    assert str(parse_budget("auc <= 0.002 ,rss<=5kB")) == "auc <= 0.002,rss<=5kB"


def test_only_a_stated_loss_allows_any() -> None:
    assert not parse_budget("").lossy
    assert not parse_budget("rss<=1MB,p99<=1ms,throughput>=5").lossy
    assert all(parse_budget(text).lossy for text in ("auc<=0.1", "max_abs<=0", "flips<=3"))


def test_a_segment_may_lose_three_times_as_much_unless_stated() -> None:
    assert parse_budget("auc<=0.002").segment == pytest.approx(0.006)
    assert parse_budget("auc<=0.002,segment<=0.004").segment == 0.004
    assert parse_budget("max_abs<=0.1").segment is None
    assert Budget().segment is None


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("auc", "budget.auc", "no limit"),
        ("auc<0.1", "budget.auc", "no limit"),
        ("acu<=0.1", "budget.acu", "Did you mean auc"),
        ("memory<=1GB", "budget.memory", "cannot be limited"),
        ("auc>=0.1", "budget.auc", "limited by <="),
        ("throughput<=5", "budget.throughput", "limited by >="),
        ("auc<=1.5", "budget.auc", "limits nothing"),
        ("auc<=-0.1", "budget.auc", "0 or more"),
        ("auc<=1e999", "budget.auc", "0 or more"),
        ("auc<=1-2", "budget.auc", "no number"),
        ("auc<=0.1,auc<=0.2", "budget.auc", "limited twice"),
        ("auc<=0.1MB", "budget.auc", "has no unit"),
        ("rss<=500", "budget.rss", "needs a unit"),
        ("rss<=500ms", "budget.rss", "no unit of rss"),
        ("rss<=0MB", "budget.rss", "cannot be 0"),
        ("segment<=0.1", "budget.segment", "no metric is limited"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(text: str, path: str, words: str) -> None:
    with pytest.raises(InvalidPlan, match=words) as caught:
        parse_budget(text)
    assert (caught.value.code, caught.value.path) == ("invalid_budget", path)


def test_measures_know_what_is_a_loss() -> None:
    measures = {limit.name: limit.measure for limit in parse_budget("flips<=1,p99<=1s").limits}
    assert measures == {"flips": Measure.COUNT, "p99": Measure.SECONDS}
