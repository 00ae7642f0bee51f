"""Interleaving: the draft is fair, equal rankers are rarely told apart, a better one is found quickly."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from trimtab.rollout import eprocess
from trimtab.rollout.strategies.interleave import SHARE, team_draft
from trimtab.types import Harm

ALPHA, RUNS = 0.05, 200
scores = st.floats(-10, 10).map(lambda x: round(x, 2))


@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=30), st.text(max_size=8))
@settings(deadline=None)
def test_a_draft_takes_each_row_once_and_gives_both_teams_as_many(
    rows: list[tuple[float, float]], seed: str
) -> None:
    champion, candidate = [a for a, _ in rows], [b for _, b in rows]
    places, teams = team_draft(champion, candidate, seed)
    assert list(range(1, len(rows) + 1)) == sorted(places)
    picked = [teams[places.index(place)] for place in range(1, len(rows) + 1)]
    for count in range(2, len(rows) + 1, 2):
        assert count // 2 == sum(picked[:count])
    for team, own in ((0, champion), (1, candidate)):
        for row, place in enumerate(places):
            if teams[row] == team:
                later = [other for other, at in enumerate(places) if at > place]
                assert all(own[other] <= own[row] for other in later)
    assert (places, teams) == team_draft(champion, candidate, seed)


def test_the_coin_is_fair_for_rankers_that_agree() -> None:
    firsts = [team_draft([3.0, 2.0, 1.0], [3.0, 2.0, 1.0], f"r{i}")[1][0] for i in range(4_000)]
    assert abs(sum(firsts) - 2_000) < 4 * np.sqrt(1_000)


def clicks(rng: np.random.Generator, sessions: int, noise: tuple[float, float]) -> list[bool]:
    """Whether the first click of each session that has one fell on the candidate's pick."""
    found = []
    for session in range(sessions):
        worth = rng.normal(size=8)
        ranked = [(worth + rng.normal(0, n, 8)).tolist() for n in noise]
        places, teams = team_draft(ranked[0], ranked[1], f"{rng.integers(2**60)}-{session}")
        for row in np.argsort(places):
            seen = 0.8 ** (places[row] - 1)
            if rng.random() < seen * 0.4 / (1 + np.exp(-2 * worth[row])):
                found.append(bool(teams[row]))
                break
    return found


def peak(told: list[bool]) -> float:
    bet = eprocess.harm(Harm.FEWER, 0.0)
    return bet.update(bet.start(), [(mine, SHARE) for mine in told]).e_peak


def test_a_ranker_that_is_as_good_is_rarely_rolled_back() -> None:
    rng = np.random.default_rng(31)
    crossed = sum(peak(clicks(rng, 150, (1.0, 1.0))) >= 1 / ALPHA for _ in range(RUNS))
    assert crossed <= int(binom.ppf(0.99, RUNS, ALPHA))


def test_a_ranker_that_is_worse_loses_its_clicks_and_is_found() -> None:
    rng = np.random.default_rng(32)
    found = sum(peak(clicks(rng, 600, (0.3, 3.0))) >= 1 / ALPHA for _ in range(20))
    assert found >= 18
