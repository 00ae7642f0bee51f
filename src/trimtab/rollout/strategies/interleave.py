"""Two rankings in one list: what is clicked says which ranker is better."""

from __future__ import annotations

from collections.abc import Sequence

from xxhash import xxh3_64_intdigest

from trimtab.rollout.split import slot
from trimtab.types import Route

SHARE = 0.5
"""The chance that a click is the candidate's, if neither ranker is better."""


class Interleave:
    """The champion answers; a ranking that the table gives to the candidate is drafted from both."""

    name = "interleave"
    sticky = False

    def route(self, slot: int, route: Route) -> int:  # noqa: ARG002 - the Protocol's arguments
        """Always arm 0; the draft gives rows to the candidate."""
        return 0


def drafted(route: Route, ranking: str) -> bool:
    """Whether a ranking is drafted from both: by its id, as many as the step's share."""
    return route.slots[slot(route.salt, ranking)] > 0


def team_draft(
    champion: Sequence[float], candidate: Sequence[float], seed: str
) -> tuple[list[int], list[int]]:
    """One list from two rankings: in each round a coin says who picks first, each its best left.

    Args:
        champion: The champion's score of each row; the largest ranks first.
        candidate: The candidate's score of each row.
        seed: What the coins are drawn from, for example the id of the ranking.

    Returns:
        The place of each row, from 1 on, and its team: 1 if the candidate has picked it, else 0. A row is
        picked once; after every second pick both teams have equally many.

    Source: Radlinski, Kurup & Joachims, How does clickthrough data reflect retrieval quality? (CIKM 2008).

    Example:
        >>> team_draft([0.9, 0.5, 0.1], [0.9, 0.1, 0.5], "r-3")[0]
        [1, 2, 3]
    """
    best = [
        sorted(range(len(scores)), key=lambda row: (-scores[row], row))
        for scores in (champion, candidate)
    ]
    places, teams = [0] * len(champion), [0] * len(champion)
    ahead = [iter(ranking) for ranking in best]
    place = 0
    while place < len(champion):
        first = xxh3_64_intdigest(f"draft:{seed}:{place}".encode()) & 1
        for team in (first, 1 - first):
            row = next((r for r in ahead[team] if not places[r]), None)
            if row is not None:
                place += 1
                places[row], teams[row] = place, team
    return places, teams
