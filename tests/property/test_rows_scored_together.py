"""Rows scored together are answered as one by one, bit for bit, whoever comes when and whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from trimtab.errors import ModelFailure
from trimtab.models.together import PRICE_SECONDS, TRIAL_ROWS, Output, Row, Together
from trimtab.testing import FakeClock, run_virtually

PRICE, EACH = 2e-3, 1e-5


class Model:
    """Takes a price a call and some time a row; fails on rows below 0."""

    def __init__(self, clock: FakeClock, price: float = PRICE, *, off: float = 0.0) -> None:
        self.clock = clock
        self.price = price
        self.off = off
        self.calls: list[int] = []
        self.seen: list[float] = []

    def __call__(self, rows: Sequence[Row]) -> Sequence[Output]:
        self.calls.append(len(rows))
        self.seen.append(self.clock.monotonic())
        self.clock.advance(self.price + EACH * len(rows))
        if any(row[0] < 0 for row in rows):  # type: ignore[operator]  # numbers alone
            raise ModelFailure("A row below 0.", code="below")
        return [[row[0] * 3.0 + (self.off if len(rows) > 1 else 0.0)] for row in rows]  # type: ignore[operator]


def gathering(model: Model, *, most: int = 16, seconds: float = 5e-3) -> Together:
    return Together(
        model,
        most_rows=most,
        most_seconds=seconds,
        monotonic=model.clock.monotonic,
        observe=lambda _: None,
    )


async def outcome(
    together: Together, value: float, deadline_ms: float | None = None
) -> float | str:
    try:
        (found,) = await together.score((value,), deadline_ms)
    except ModelFailure as failure:
        return failure.code
    return found


async def tried(together: Together, rows: int = 2 * TRIAL_ROWS) -> None:
    """Let it find out whether it pays."""
    await asyncio.gather(*(outcome(together, float(i)) for i in range(rows)))


Arrival = tuple[float, float, float | None]
arrivals = st.lists(
    st.tuples(
        st.floats(0.0, 0.05),
        st.integers(-2, 50).map(float),
        st.none() | st.floats(0.1, 20.0),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(arrivals=arrivals, most=st.integers(2, 16), learned=st.booleans())
def test_everybody_gets_what_they_would_alone(
    arrivals: list[Arrival], most: int, learned: bool
) -> None:
    async def main(clock: FakeClock) -> tuple[list[float | str], Model]:
        model = Model(clock)
        together = gathering(model, most=most)
        if learned:
            await tried(together)
            assert together.pays

        async def come(after: float, value: float, deadline_ms: float | None) -> float | str:
            await asyncio.sleep(after)
            return await outcome(together, value, deadline_ms)

        return list(await asyncio.gather(*(come(*one) for one in arrivals))), model

    found, model = run_virtually(main)
    assert ["below" if value < 0 else value * 3.0 for _, value, _ in arrivals] == found
    assert max(model.calls) <= most


def test_what_waits_is_scored_in_one_call_once_it_is_known_to_pay() -> None:
    async def main(clock: FakeClock) -> tuple[list[int], float]:
        model = Model(clock)
        together = gathering(model)
        await tried(together)
        model.calls.clear()
        await asyncio.gather(*(outcome(together, float(i)) for i in range(40)))
        return model.calls, together.wait_seconds

    calls, wait = run_virtually(main)
    assert [16, 16, 8] == calls
    assert wait == pytest.approx(PRICE)


@pytest.mark.parametrize(
    ("price", "off"),
    [(PRICE_SECONDS / 2, 0.0), (PRICE, 1e-12)],
    ids=["cheap calls", "another answer"],
)
def test_it_is_off_where_calls_are_cheap_or_answers_would_differ(price: float, off: float) -> None:
    async def main(clock: FakeClock) -> tuple[bool | None, list[int], float | str]:
        model = Model(clock, price, off=off)
        together = gathering(model)
        await tried(together)
        model.calls.clear()
        answers = await asyncio.gather(*(outcome(together, 7.0) for _ in range(10)))
        assert len(set(answers)) == 1
        return together.pays, model.calls, answers[0]

    assert (False, [1] * 10, 21.0) == run_virtually(main)


def test_a_client_alone_never_waits() -> None:
    async def main(clock: FakeClock) -> list[float]:
        model = Model(clock)
        together = gathering(model)
        await tried(together)
        waits = []
        for value in range(6):
            began = clock.monotonic()
            await outcome(together, float(value))
            waits.append(clock.monotonic() - began - PRICE - EACH)
        return waits

    # The first still expects the others; nobody came, so the next does not.
    first, *others = run_virtually(main)
    assert first <= PRICE + 1e-9
    assert others == pytest.approx([0.0] * 5, abs=1e-9)


@given(deadline_ms=st.floats(0.1, 4.0))
def test_none_waits_past_its_deadline(deadline_ms: float) -> None:
    async def main(clock: FakeClock) -> tuple[float, float]:
        model = Model(clock)
        together = gathering(model)
        await tried(together)
        began = clock.monotonic()
        late = asyncio.ensure_future(outcome(together, 1.0))
        await asyncio.sleep(PRICE / 4)
        asked = clock.monotonic()
        await outcome(together, 2.0, deadline_ms)
        await late
        return asked - began, model.seen[-1] - asked

    _, waited = run_virtually(main)
    assert waited * 1e3 <= max(deadline_ms - PRICE * 1e3, 0.0) + 1e-6


def test_a_row_whose_client_is_gone_is_not_scored() -> None:
    async def main(clock: FakeClock) -> list[int]:
        model = Model(clock)
        together = gathering(model)
        await tried(together)
        model.calls.clear()
        tasks = [asyncio.ensure_future(outcome(together, float(i))) for i in range(6)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        assert [3.0, 9.0, 15.0] == [await task for task in tasks[1::2]]
        return model.calls

    assert [3] == run_virtually(main)


def test_a_call_that_breaks_off_leaves_nobody_waiting() -> None:
    def broken(_rows: Sequence[Row]) -> Sequence[Output]:
        raise ZeroDivisionError

    async def main() -> list[float | str]:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        together = Together(
            broken, most_rows=4, most_seconds=1.0, monotonic=lambda: 0.0, observe=lambda _: None
        )
        return list(await asyncio.gather(*(outcome(together, float(i)) for i in range(9))))

    assert ["model_failure"] * 9 == asyncio.run(main())


@pytest.mark.parametrize("kind", [HistGradientBoostingClassifier, RandomForestClassifier])
def test_tree_ensembles_of_scikit_learn_answer_alike_and_are_gathered(kind: type) -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(size=(400, 6))
    model = kind(
        random_state=3,
        **({"max_iter": 20} if kind is HistGradientBoostingClassifier else {"n_estimators": 20}),
    )
    model.fit(data, data[:, 0] + rng.normal(size=400) > 0)

    def score(rows: Sequence[Row]) -> Sequence[Output]:
        found: list[list[float]] = model.predict_proba(np.array(rows, dtype=np.float64)).tolist()
        return found

    async def main() -> tuple[list[Output], bool | None]:
        loop = asyncio.get_running_loop()
        together = Together(
            score, most_rows=32, most_seconds=0.01, monotonic=loop.time, observe=lambda _: None
        )
        rows = data[:200].tolist()
        return list(await asyncio.gather(*(together.score(row) for row in rows))), together.pays

    found, pays = asyncio.run(main())
    assert [tuple(one) for one in found] == [tuple(score([row])[0]) for row in data[:200].tolist()]
    assert pays
