from __future__ import annotations

import pytest
from msgspec.structs import replace

from trimtab.errors import Conflict, InvalidPlan, InvalidRow, NotFound, TrimtabError
from trimtab.rollout import slots
from trimtab.rollout.router import Router, assign
from trimtab.rollout.split import SLOTS, slot, unit_hash
from trimtab.types import Arm, Assignment, Route

TENTH = slots.grow(slots.all_control(), (0.1,))
ROUTE = Route(
    model="m",
    epoch=1,
    arms=(
        Arm(name="champion", version=1, share=0.9),
        Arm(name="candidate", version=2, share=0.1),
    ),
    slots=TENTH,
    salt="salt",
    strategy="canary",
)


def test_ten_percent_beside_a_hundred_is_exactly_a_thousand_slots() -> None:
    assert (9_000, 1_000) == (TENTH.count(0), TENTH.count(1))
    assert (0.9, 0.1) == slots.shares(TENTH, 2)


@pytest.mark.parametrize("count", [1, 29, 57, 1_000, 3_333, 9_999, 10_000])
def test_every_share_of_whole_slots_is_taken_exactly(count: int) -> None:
    assert count == slots.whole_slots(count / SLOTS)
    assert count == slots.whole_slots(1 - (1 - count / SLOTS))


@pytest.mark.parametrize(
    ("shares", "code"),
    [
        ((0.6, 0.5), "shares_over_one"),
        ((1.1,), "invalid_share"),
        ((-0.1,), "invalid_share"),
        ((float("nan"),), "invalid_share"),
        ((float("inf"),), "invalid_share"),
        ((0.00015,), "share_too_fine"),
        ((1 / 3,), "share_too_fine"),
        ((0.05,), "arm_shrinks"),
        ((), "arm_shrinks"),
        ((0.1, *[0.0] * 255), "shares_over_one"),
    ],
)
def test_shares_that_cannot_be_given_are_refused(shares: tuple[float, ...], code: str) -> None:
    with pytest.raises(InvalidPlan) as raised:
        slots.grow(TENTH, shares)
    assert code == raised.value.code


def test_a_table_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidPlan, match="10000 slots, this one 3"):
        slots.grow(b"\0\0\0", (0.1,))


def test_a_row_without_a_key_is_spread_by_its_id_and_not_sticky() -> None:
    by_id = [assign(ROUTE, None, f"id-{i}") for i in range(500)]
    assert {False} == {assigned.sticky for assigned in by_id}
    assert {0, 1} == {assigned.arm for assigned in by_id}
    assert by_id == [assign(ROUTE, "", f"id-{i}") for i in range(500)]


def test_a_key_goes_where_its_slot_belongs() -> None:
    for i in range(500):
        key = f"user-{i}"
        expected = Assignment(arm=int(slot("salt", key) < 1_000), sticky=True)
        assert expected == assign(ROUTE, key, "ignored")


def test_a_unit_is_a_hash_that_tells_neither_key_nor_slot() -> None:
    assert "a4aaf66c2aa9e703" == unit_hash("user-1")
    assert slot("", "user-1") != int(unit_hash("user-1"), 16) * SLOTS >> 64


def test_a_key_that_is_no_text_is_refused() -> None:
    for refuse in (lambda: slot("salt", "\ud800"), lambda: unit_hash("\ud800")):
        with pytest.raises(InvalidRow) as raised:
            refuse()
        assert ("invalid_key", "key") == (raised.value.code, raised.value.path)


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        (replace(ROUTE, hash_name="xxh3_64/multiply-shift/2"), Conflict),
        (replace(ROUTE, strategy="coin"), NotFound),
        (replace(ROUTE, slots=b""), InvalidPlan),
        (replace(ROUTE, slots=bytes([2]) * SLOTS), InvalidPlan),
    ],
)
def test_a_route_that_cannot_be_served_is_refused(route: Route, kind: type[TrimtabError]) -> None:
    Router().check(ROUTE)
    with pytest.raises(kind):
        Router().check(route)


def test_a_route_of_an_unknown_hash_assigns_nobody() -> None:
    with pytest.raises(Conflict, match="only knows") as raised:
        assign(replace(ROUTE, hash_name="fnv/1"), "user-1", "")
    assert "unknown_hash" == raised.value.code


def test_a_strategy_of_somebody_else_is_used() -> None:
    class Odd:
        name = "odd"

        def route(self, slot: int, route: Route) -> int:
            return slot % len(route.arms)

    router = Router({"odd": Odd()})
    found = [router.assign(replace(ROUTE, strategy="odd"), f"u{i}", "").arm for i in range(50)]
    assert [slot("salt", f"u{i}") % 2 for i in range(50)] == found
