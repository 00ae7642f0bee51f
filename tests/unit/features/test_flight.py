from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from trimtab.features.flight import Rows, share
from trimtab.types import StoredRow

ROW = StoredRow(values={"x": 1.0}, event_time=1.0)


class Trip:
    """A read of two views that waits for a word."""

    def __init__(self) -> None:
        self.word: asyncio.Future[Sequence[Rows]] = asyncio.get_running_loop().create_future()
        self.ended = ""

    async def __call__(self) -> Sequence[Rows]:
        try:
            found = await self.word
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "came back"
        return found


@pytest.mark.anyio
async def test_a_part_that_is_given_up_leaves_the_trip_to_the_others() -> None:
    trip = Trip()
    first, second = share(trip(), 2)
    first.cancel()
    await asyncio.sleep(0)
    trip.word.set_result([{}, {"e": ROW}])
    assert await second == {"e": ROW}
    assert (first.cancelled(), trip.ended) == (True, "came back")


@pytest.mark.anyio
async def test_a_trip_that_nobody_wants_any_more_is_cancelled() -> None:
    trip = Trip()
    attempts = share(trip(), 2)
    await asyncio.sleep(0)
    for attempt in attempts:
        attempt.cancel()
    await asyncio.gather(*attempts, return_exceptions=True)
    await asyncio.sleep(0)
    assert trip.ended == "cancelled"


@pytest.mark.anyio
async def test_what_fails_fails_for_all_parts() -> None:
    trip = Trip()
    attempts = share(trip(), 2)
    trip.word.set_exception(OSError("reset by peer"))
    found = await asyncio.gather(*attempts, return_exceptions=True)
    assert [str(wrong) for wrong in found] == ["reset by peer"] * 2


@pytest.mark.anyio
async def test_a_trip_that_ends_itself_ends_its_parts() -> None:
    trip = Trip()
    attempts = share(trip(), 2)
    trip.word.cancel()
    found = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(wrong) for wrong in found] == [asyncio.CancelledError] * 2
