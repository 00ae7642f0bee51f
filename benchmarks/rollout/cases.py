"""Every kind of guardrail in a world without harm, and in one with it; the certificate likewise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from bets import crossings
from worlds import (
    BLOCK,
    Events,
    Floats,
    World,
    columns,
    draw,
    draw_heavy,
    rates,
    shares,
)

from trimtab.rollout import eprocess
from trimtab.rollout.eprocess import EProcess
from trimtab.types import Harm

Drawn = tuple[Events, Floats | None]
Draw = Callable[[np.random.Generator, int], Drawn]
ALPHAS = (0.05, 0.01)
MARGIN = 0.2
"""What certificates rule out here."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row: a guardrail's bet in a world; ``blocks`` of 100 users is how long each run is.

    ``small`` runs are held in memory at once.
    """

    guardrail: str
    world: str
    bet: EProcess
    draw: Draw
    blocks: int
    alphas: tuple[float, ...] = ALPHAS
    small: int = 1_000

    def chunk(self, rng: np.random.Generator, runs: int, _number: int) -> Counter[str]:
        """How often each alpha's limit was reached, and the users who had arrived by then in all.

        A run that never reaches it counts with its whole length.
        """
        events, amounts = self.draw(rng, runs)
        found = crossings(self.bet, events, [1 / alpha for alpha in self.alphas], amounts)
        sums: Counter[str] = Counter()
        for alpha, first in zip(self.alphas, found, strict=True):
            sums[f"found {alpha}"] += int((first >= 0).sum())
            users = np.minimum(events.arrived(first), self.blocks * BLOCK)
            sums[f"users {alpha}"] += float(users.sum())  # type: ignore[assignment]
        return sums


def once(world: World, base: float, risk: float, blocks: int) -> Draw:
    """Users who come once, and have an event or none."""
    return lambda rng, runs: (draw(rng, world, base, risk, blocks, runs)[0], None)


def heavy(world: World, base: float, risk: float, blocks: int) -> Draw:
    """Users of whom few send most requests, each with their first event."""
    return lambda rng, runs: (draw_heavy(rng, world, base, risk, blocks, runs), None)


def values(world: World, ratio: float, blocks: int) -> Draw:
    """Every user has an outcome in [0, 1]: Beta, of mean 0.25 to 0.5 by the hour, ever less spread."""

    def drawn(rng: np.random.Generator, runs: int) -> Drawn:
        share, rate = shares(world, blocks), rates(world, 1.0, blocks)
        block = np.tile(np.arange(blocks, dtype=np.int16).repeat(BLOCK), runs)
        arm = (rng.random(len(block)) < share[block]).astype(np.int8)
        mean = 0.25 * rate[block] / rate.min() if world.drifting else np.full(len(block), 0.4)
        mean = np.minimum(mean, 0.9) * np.where(arm == 1, ratio, 1.0)
        held = 0.5 + 4 * block / blocks
        amounts = rng.beta(mean * held, (1 - mean) * held).reshape(runs, -1).T
        events = columns(share, arm, block, np.full(runs, blocks * BLOCK))
        return events, np.ascontiguousarray(amounts)

    return drawn


def split(world: World, odds: float, blocks: int) -> Draw:
    """Every user is an event: whether the stated share let them reach the candidate, times ``odds``."""

    def drawn(rng: np.random.Generator, runs: int) -> Drawn:
        share = shares(world, blocks)
        block = np.tile(np.arange(blocks, dtype=np.int16).repeat(BLOCK), runs)
        reached = odds * share / (odds * share + 1 - share)
        arm = (rng.random(len(block)) < reached[block]).astype(np.int8)
        return columns(share, arm, block, np.full(runs, blocks * BLOCK)), None

    return drawn


FLAT, HALF = World("10 %"), World("50 %", share=0.5)
RAMP = World("ramp, drift and delay", ramp=True, drifting=True, delay=0.1)
HEAVY, HEAVY_RAMP = World("heavy users", heavy=True), World("heavy users, ramp", True, heavy=True)
OUTAGES = World("ramp with outages", ramp=True, outages=True)
_MORE, _FEWER, _EITHER = (
    eprocess.harm(Harm.MORE, 0.0),
    eprocess.harm(Harm.FEWER, 0.0),
    eprocess.either(0.05),
)
_SPLIT = eprocess.mismatch()
_SPLIT_ALPHA = (0.001,)

QUIET = (
    Case("bounded value", "ramp, means and spread drift", _FEWER, values(RAMP, 1.0, 50), 50),
    Case("error", "ramp, drift and delay, 0.5 %", _MORE, once(RAMP, 0.005, 1.0, 2_000), 2_000),
    Case("slow answer", "heavy users, ramp, 5 %", _MORE, heavy(HEAVY_RAMP, 0.05, 1.0, 2_000), 2_000),
    Case("fallback", "ramp, outages of a store", _MORE, once(OUTAGES, 0.005, 1.0, 2_000), 2_000),
    Case("prediction drift", "at the margin, 5 % more", _EITHER, once(RAMP, 0.2, 1.05, 200), 200),
    Case("prediction drift", "at the margin, 5 % fewer", _EITHER, once(RAMP, 0.2, 0.95, 200), 200),
    Case("sample ratio", "ramp", _SPLIT, split(RAMP, 1.0, 100), 100, _SPLIT_ALPHA),
    Case("margin of 10 %", "10 % fewer conversions, ramp, drift and delay",
         eprocess.harm(Harm.FEWER, 0.1), once(RAMP, 0.03, 0.9, 2_000), 2_000),
)  # fmt: skip

HARMED = (
    Case("bounded value", "20 % lower", _FEWER, values(FLAT, 0.8, 300), 300, small=200),
    Case("error", "0.1 → 1 %", _MORE, once(FLAT, 0.001, 10.0, 500), 500),
    Case("slow answer", "heavy users, 5 → 7.5 %", _MORE, heavy(HEAVY, 0.05, 1.5, 2_000), 2_000),
    Case("fallback", "0.5 → 1 %", _MORE, once(FLAT, 0.005, 2.0, 2_000), 2_000),
    Case("prediction drift", "30 % more above the threshold", _EITHER, once(FLAT, 0.2, 1.3, 600), 600),
    Case("prediction drift", "30 % fewer", _EITHER, once(FLAT, 0.2, 0.7, 600), 600),
    *(
        Case("sample ratio", f"{share * 100:.1f} % instead of 10 %", _SPLIT,
             split(FLAT, 9 * share / (1 - share), blocks), blocks, _SPLIT_ALPHA, small)
        for share, blocks, small in
        ((0.105, 3_000, 100), (0.11, 1_000, 250), (0.12, 300, 500), (0.15, 100, 1_000))
    ),
)  # fmt: skip


def _certificate(harm: Harm, world: World, risk: float, blocks: int) -> Case:
    told = (
        f"{abs(risk - 1) * 100:.0f} % {'more' if risk > 1 else 'fewer'}" if risk != 1.0 else "equal"
    )
    kind = "more are worse" if harm is Harm.MORE else "fewer are worse"
    bet = eprocess.certificate(harm, MARGIN)
    return Case(kind, f"{told}, {world.name}", bet, once(world, 0.03, risk, blocks), blocks)


UNFIT = tuple(
    _certificate(harm, world, risk, 2_000)
    for harm, risk in ((Harm.FEWER, 1 - MARGIN), (Harm.MORE, 1 + MARGIN))
    for world in (HALF, RAMP)
)
FIT = tuple(
    _certificate(harm, world, 1.0, blocks)
    for harm in Harm
    for world, blocks in ((HALF, 1_500), (FLAT, 4_000))
)
