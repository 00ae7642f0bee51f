"""What strategies buy: interleaving beside A/B on the same clicks, a bandit beside an even split."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from trimtab.rollout import eprocess
from trimtab.rollout.split import SLOTS
from trimtab.rollout.strategies.bandit import thompson
from trimtab.rollout.strategies.interleave import SHARE, team_draft
from trimtab.types import Harm

ALPHA = 0.05
ROWS = 8
BET = eprocess.harm(Harm.FEWER, 0.0)
WORLDS = {"equal rankers": (1.0, 1.0), "a worse candidate": (0.8, 1.6), "a bad one": (0.3, 3.0)}


def clicked(rng: np.random.Generator, worth: np.ndarray, places: Sequence[int]) -> int | None:
    """The row of a session's first click: users read from the top and like what is worth it."""
    for row in np.argsort(places):
        if rng.random() < 0.8 ** (places[row] - 1) * 0.4 / (1 + np.exp(-2 * worth[row])):
            return int(row)
    return None


def sessions(rng: np.random.Generator, most: int, noise: tuple[float, float], draft: bool) -> int:
    """How many sessions until the candidate is rolled back; ``most`` if it never is."""
    evidence, waiting = BET.start(), []
    for session in range(1, most + 1):
        worth = rng.normal(size=ROWS)
        ranked = [(worth + rng.normal(0, n, ROWS)).tolist() for n in noise]
        arm = int(rng.random() < SHARE)
        places, teams = team_draft(*ranked, f"{session}-{rng.integers(2**60)}")
        if not draft:
            places = (np.argsort(np.argsort(-np.array(ranked[arm]))) + 1).tolist()
        row = clicked(rng, worth, places)
        if row is not None:
            waiting.append((bool(teams[row]) if draft else bool(arm), SHARE))
        if session % 25 == 0:
            evidence, waiting = BET.update(evidence, waiting), []
            if evidence.e_peak >= 1 / ALPHA:
                return session
    return most


def tell_interleaving(runs: int, most: int) -> None:
    """Sessions until a ranker is found to be worse, and how often an equal one is."""
    print("| world | design | rolled back | median sessions |\n| --- | --- | --- | --- |")
    for name, noise in WORLDS.items():
        for design, draft in (("interleaved", True), ("A/B, half and half", False)):
            rng = np.random.default_rng(1)
            took = np.array([sessions(rng, most, noise, draft) for _ in range(runs)])
            print(f"| {name} | {design} | {(took < most).mean():.3f} | {np.median(took):,.0f} |")


def earned(rng: np.random.Generator, rates: Sequence[float], turns: int, bandit: bool) -> float:
    """The part of what the best arm would have earned."""
    successes, trials = [0] * len(rates), [0] * len(rates)
    shares = np.full(len(rates), 1 / len(rates))
    for turn in range(turns):
        played = rng.multinomial(200, shares)
        won = rng.binomial(played, rates)
        for arm in range(len(rates)):
            successes[arm] += int(won[arm])
            trials[arm] += int(played[arm])
        if bandit:
            shares = np.array(thompson(successes, trials, 100, seed=turn)) / SLOTS
    return sum(successes) / (max(rates) * 200 * turns)


def tell_bandit(runs: int) -> None:
    """Earnings of Thompson sampling beside an even split, relative to the best arm's."""
    print("\n| rates of the arms | bandit | even split |\n| --- | --- | --- |")
    for rates in ((0.05, 0.06), (0.05, 0.10), (0.03, 0.05, 0.10)):
        rng = np.random.default_rng(2)
        both = [np.mean([earned(rng, rates, 50, b) for _ in range(runs)]) for b in (True, False)]
        print(f"| {' / '.join(f'{r:.0%}' for r in rates)} | {both[0]:.3f} | {both[1]:.3f} |")


def main(arguments: Sequence[str]) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="make bench-rollout ARGS=strategies")
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--sessions", type=int, default=4_000)
    chosen = parser.parse_args(arguments)
    tell_interleaving(chosen.runs, chosen.sessions)
    tell_bandit(chosen.runs // 2)
