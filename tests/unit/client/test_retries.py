from __future__ import annotations

import pytest

from trimtab.client.retries import Budget, Failure, Retry, Tries
from trimtab.errors import InvalidRow, Unavailable

BUSY = Failure(Unavailable("Busy.", code="overloaded"), status=503)
BROKEN = Failure(Unavailable("Broken.", code="unreachable"))
NOT_SENT = Failure(Unavailable("Nobody there.", code="unreachable"), sent=False)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tries(
    retry: Retry = Retry(),  # noqa: B008 - frozen
    *,
    repeatable: bool = False,
    deadline_ms: float | None = None,
    clock: Clock | None = None,
    budget: Budget | None = None,
) -> Tries:
    return Tries(
        retry,
        budget or Budget(retry),
        repeatable=repeatable,
        deadline_ms=deadline_ms,
        clock=clock or Clock(),
        draw=lambda: 1.0,
    )


def test_pauses_double_up_to_the_longest() -> None:
    one = tries(Retry(attempts=6, first_pause_ms=100, longest_pause_ms=500))
    assert [0.1, 0.2, 0.4, 0.5, 0.5] == [one.pause(BUSY) for _ in range(5)]
    with pytest.raises(Unavailable, match="Busy"):
        one.pause(BUSY)


def test_what_may_have_arrived_is_repeated_only_if_that_changes_nothing() -> None:
    assert tries(repeatable=True).pause(BROKEN) > 0
    assert tries(repeatable=False).pause(NOT_SENT) > 0
    with pytest.raises(Unavailable, match="Broken"):
        tries(repeatable=False).pause(BROKEN)


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 500, 504])
def test_what_the_server_means_is_not_asked_again(status: int) -> None:
    with pytest.raises(InvalidRow):
        tries(repeatable=True).pause(Failure(InvalidRow("Wrong."), status=status))


@pytest.mark.parametrize("status", [429, 502, 503])
def test_what_was_refused_undone_is_asked_again(status: int) -> None:
    assert tries().pause(Failure(Unavailable("Later."), status=status)) > 0


def test_retry_after_is_kept_even_if_longer_than_our_pauses() -> None:
    later = Failure(BUSY.error, status=503, retry_after=7.0)
    assert 7.0 == tries().pause(later)


def test_no_pause_reaches_beyond_the_deadline() -> None:
    clock = Clock()
    one = tries(Retry(first_pause_ms=100), deadline_ms=250, clock=clock)
    assert 0.25 == one.remaining()
    clock.now += one.pause(BUSY)
    assert 0.15 == pytest.approx(one.remaining())
    with pytest.raises(Unavailable, match="Busy"):
        one.pause(BUSY)


def test_a_deadline_that_passed_says_so_and_why_there_was_no_answer() -> None:
    clock = Clock()
    one = tries(deadline_ms=200, clock=clock)
    one.pause(BUSY)
    clock.now = 0.2
    with pytest.raises(Unavailable, match="after 1 try") as told:
        one.remaining()
    assert "deadline_exceeded" == told.value.code
    assert BUSY.error is told.value.__cause__


def test_repetitions_are_a_share_of_the_requests_once_the_savings_are_spent() -> None:
    retry = Retry(budget_ratio=0.1, budget_burst=5)
    budget = Budget(retry)
    repeated = 0
    for _ in range(1_000):
        try:
            tries(retry, budget=budget).pause(BUSY)
        except Unavailable:
            continue
        repeated += 1
    assert 100 <= repeated <= 105


def test_a_budget_never_saves_more_than_its_burst() -> None:
    budget = Budget(Retry(budget_ratio=1.0, budget_burst=2))
    for _ in range(50):
        budget.earn()
    assert [True, True, False] == [budget.spend() for _ in range(3)]
