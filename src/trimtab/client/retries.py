"""When to ask again: what may be repeated, how often, and never beyond the budget or the deadline."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from trimtab.client.calls import REFUSED_UNDONE
from trimtab.errors import TrimtabError, Unavailable


@dataclass(frozen=True, slots=True)
class Retry:
    """How failed requests are repeated.

    Args:
        attempts: Tries of one request, the first one included; 1 never repeats.
        first_pause_ms: The pause before the first repetition is drawn from zero to this; each further
            one from twice as much.
        longest_pause_ms: No pause that the client chooses is longer. A longer ``Retry-After`` is kept.
        budget_ratio: Repetitions a client may send for each request that it was asked for, so that
            many clients do not multiply the load of a server that is down.
        budget_burst: Repetitions that may be saved up.
    """

    attempts: int = 4
    first_pause_ms: float = 50.0
    longest_pause_ms: float = 2_000.0
    budget_ratio: float = 0.1
    budget_burst: float = 10.0


class Budget:
    """A client's repetitions: each request earns a share of one, each repetition spends one.

    Source: the retry throttling of gRPC (proposal A6) and the retry budgets of Finagle.
    """

    def __init__(self, retry: Retry) -> None:
        self._ratio = retry.budget_ratio
        self._most = retry.budget_burst
        self._saved = retry.budget_burst
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A request was asked for."""
        with self._lock:
            self._saved = min(self._most, self._saved + self._ratio)

    def spend(self) -> bool:
        """Whether a repetition may be sent; it is then paid for."""
        with self._lock:
            if self._saved < 1.0:
                return False
            self._saved -= 1.0
            return True


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try failed.

    Args:
        error: What is raised if nobody asks again.
        status: Of the answer, None if there was none.
        sent: Whether the request may have arrived.
        retry_after: Seconds that the server asked to wait.
    """

    error: TrimtabError
    status: int | None = None
    sent: bool = True
    retry_after: float | None = None


class Tries:
    """The tries of one request, without any I/O.

    Args:
        retry: The policy.
        budget: The client's.
        repeatable: Whether the request may be sent again when nobody knows if it arrived.
        deadline_ms: Time for all tries and pauses together, None for no end.
        clock: Monotonic seconds.
        draw: A number in [0, 1), for pauses.
    """

    def __init__(
        self,
        retry: Retry,
        budget: Budget,
        *,
        repeatable: bool,
        deadline_ms: float | None,
        clock: Callable[[], float],
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._retry = retry
        self._budget = budget
        self._repeatable = repeatable
        self._clock = clock
        self._draw = draw
        self._end = None if deadline_ms is None else clock() + deadline_ms / 1e3
        self._made = 0
        self._last: TrimtabError | None = None
        budget.earn()

    def remaining(self) -> float | None:
        """Seconds that are left, for the next try; None for no end.

        Raises:
            Unavailable: ``deadline_exceeded``; the last failure is its cause.
        """
        if self._end is None:
            return None
        left = self._end - self._clock()
        if left <= 0:
            raise late(self._made) from self._last
        return left

    def pause(self, failure: Failure) -> float:
        """Seconds to wait before the next try.

        Raises:
            TrimtabError: the failure itself, when it is not to be tried again.
        """
        self._made += 1
        self._last = failure.error
        if not self._may_repeat(failure):
            raise failure.error
        wait = self._chosen()
        if failure.retry_after is not None:
            wait = max(wait, failure.retry_after)
        if self._end is not None and self._clock() + wait >= self._end:
            raise failure.error
        if not self._budget.spend():
            raise failure.error
        return wait

    def _may_repeat(self, failure: Failure) -> bool:
        if self._made >= self._retry.attempts:
            return False
        if failure.status is not None:
            return failure.status in REFUSED_UNDONE
        return self._repeatable or not failure.sent

    def _chosen(self) -> float:
        longest = min(
            self._retry.first_pause_ms * 2.0 ** (self._made - 1), self._retry.longest_pause_ms
        )
        return self._draw() * longest / 1e3


def late(tries: int) -> Unavailable:
    """The error of a deadline that passed."""
    return Unavailable(
        f"The deadline passed after {tries} {'try' if tries == 1 else 'tries'}.",
        code="deadline_exceeded",
        hint="Allow more time with deadline_ms, or see why the server is slow.",
    )


class Patience:
    """When a client's calls are tried again, and the time that each of them has.

    Args:
        retry: The policy.
        deadline_ms: Time for a call with all its tries, None for no end.
        clock: Monotonic seconds.
    """

    def __init__(self, retry: Retry, deadline_ms: float | None, clock: Callable[[], float]) -> None:
        self._retry = retry
        self._budget = Budget(retry)
        self._deadline_ms = deadline_ms
        self._clock = clock

    def tries(self, *, repeatable: bool, deadline_ms: float | None) -> Tries:
        """The tries of one call; its own deadline stands in for the client's."""
        return Tries(
            self._retry,
            self._budget,
            repeatable=repeatable,
            deadline_ms=self._deadline_ms if deadline_ms is None else deadline_ms,
            clock=self._clock,
        )
