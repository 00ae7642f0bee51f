"""Replies are looked for as long as that pays, on times that the test makes up."""

from __future__ import annotations

from trimtab.features.linger import MOST_SECONDS, TRIED_EVERY, Company, Linger

ASK_SECONDS = 1e-6


class Server:
    """Has the reply after so many asks, each of which takes a microsecond."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asks = 0
        self.linger = Linger(lambda: self.now)

    def read(self, replies_after: int) -> int:
        """How often it was asked for one reply."""
        self.asks = 0

        def come() -> bool:
            self.asks += 1
            self.now += ASK_SECONDS
            return self.asks >= replies_after

        self.linger.look(come)
        return self.asks


MOST_ASKS = round(MOST_SECONDS / ASK_SECONDS) + 1
NEVER = 1_000_000


def test_a_reply_is_asked_for_until_it_has_come() -> None:
    server = Server()
    assert [1, 7, 30, 1] == [server.read(after) for after in (1, 7, 30, 1)]


def test_nobody_lingers_longer_than_a_moment() -> None:
    server = Server()
    assert 0 < server.read(NEVER) <= MOST_ASKS


def test_replies_that_come_late_are_soon_left_to_the_loop() -> None:
    server = Server()
    asks = [server.read(NEVER) for _ in range(1_000)]
    assert 8 < sum(map(bool, asks[:TRIED_EVERY])) < 16
    assert sum(map(bool, asks[TRIED_EVERY:])) == (1_000 - TRIED_EVERY) // TRIED_EVERY + 1


def test_a_reply_in_time_is_believed_at_once() -> None:
    server = Server()
    while server.read(NEVER):
        pass
    waited = 0
    while not server.read(20):
        waited += 1
    assert waited <= TRIED_EVERY
    assert [20] * 100 == [server.read(20) for _ in range(100)]


def test_a_part_that_comes_late_does_not_stop_it() -> None:
    server = Server()
    asks = [server.read(NEVER if at % 4 == 3 else 20) for at in range(1_000)]
    assert all(asks)


def test_rows_that_come_one_by_one_are_alone_also_beside_a_table_now_and_then() -> None:
    company = Company()
    rows = [100 if at % 20 == 10 else 1 for at in range(400)]
    assert [of == 1 for of in rows] == [company.alone(of) for of in rows]


def test_who_usually_comes_with_others_is_not_alone() -> None:
    company = Company()
    assert not any(company.alone(of) for of in [3, 9, 4] + [1, 8, 2] * 100)
    waited = [company.alone(1) for _ in range(100)].index(True)
    assert 10 < waited < 60
