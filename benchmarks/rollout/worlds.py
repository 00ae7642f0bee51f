"""Traffic to judge guardrails by: blocks of users who arrive, answer and convert.

A world is simulated in blocks of 100 users. Within a block the share and the base rate stand still,
so a block is four numbers: users and conversions of control and of the candidate. What a method
sees of them depends on when outcomes arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK = 100
STEPS = np.array([0.01, 0.05, 0.10, 0.25, 0.50])

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class World:
    """How traffic behaves.

    ``ramp`` goes 1-5-10-25-50 % in equal steps, else the share is ``share``. ``drifting`` makes the
    base rate rise from half to twice and swing by 40 % a day. ``delay`` is the longest outcome
    delay, as a part of the horizon; delays are exponential with a third of it as mean, cut there.
    """

    name: str
    ramp: bool = False
    drifting: bool = False
    delay: float = 0.0
    share: float = 0.1


WORLDS = (
    World("stationary, 10 %"),
    World("ramp, diurnal drift", ramp=True, drifting=True),
    World("ramp, outcome delay", ramp=True, delay=0.1),
    World("ramp, drift and delay", ramp=True, drifting=True, delay=0.1),
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """One run, arrays over blocks; index 0 is control, 1 the candidate.

    ``users`` by the block in which they were answered, ``known`` the conversions by the block in
    which they became known; shapes ``(2, blocks)``, ``share`` ``(blocks,)``. ``event_arm`` and
    ``event_block`` have each unit's first conversion in the order of answers, shape ``(events,)``.
    """

    share: Floats
    users: Ints
    known: Ints
    event_arm: Ints
    event_block: Ints

    @property
    def arrived(self) -> Ints:
        """Users who have arrived by the end of each block."""
        return np.arange(1, len(self.share) + 1) * BLOCK


def shares(world: World, blocks: int) -> Floats:
    """The candidate's share in each block."""
    if not world.ramp:
        return np.full(blocks, world.share)
    return STEPS[np.arange(blocks) * len(STEPS) // blocks]


def rates(world: World, base: float, blocks: int) -> Floats:
    """Control's conversion rate in each block."""
    if not world.drifting:
        return np.full(blocks, base)
    time = np.arange(blocks) / blocks
    return base * 0.5 * 4.0**time * (1 + 0.4 * np.sin(2 * np.pi * 20 * time))


def draw(rng: np.random.Generator, world: World, base: float, risk: float, blocks: int) -> Traffic:
    """One run of a world.

    Args:
        rng: Where chance comes from.
        world: How traffic behaves.
        base: Control's conversion rate.
        risk: The candidate's, relative to it; 1 is no harm.
        blocks: How long it goes on.
    """
    share, rate = shares(world, blocks), rates(world, base, blocks)
    candidates = rng.binomial(BLOCK, share)
    users = np.stack((BLOCK - candidates, candidates))
    events = rng.binomial(users, np.stack((rate, np.minimum(rate * risk, 1.0))))
    arms = np.repeat(np.tile([0, 1], blocks), events.T.ravel())
    at = np.repeat(np.arange(blocks), events.sum(axis=0))
    order = np.lexsort((rng.random(len(arms)), at))
    known = _known(rng, events, world.delay * blocks)
    return Traffic(share, users, known, arms[order], at[order])


def draw_clustered(
    rng: np.random.Generator, world: World, base: float, risk: float, blocks: int
) -> Traffic:
    """One run in which a request is not a user: few people send most of the requests.

    A user's requests are Pareto with exponent 1.2, at most 500; a user's own rate is Beta with mean
    ``base`` and concentration 3. Methods that count requests see them all;
    units are users, sticky by their own draw, each with its first conversion.
    """
    requests = blocks * BLOCK
    sizes = np.minimum(rng.pareto(1.2, requests) + 1, 500).astype(int)
    users = int(np.searchsorted(np.cumsum(sizes), requests)) + 1
    sender = rng.permutation(np.repeat(np.arange(users), sizes[:users]))[:requests]
    own = rng.beta(base * 3, (1 - base) * 3, users)
    block = np.arange(requests) // BLOCK
    share = shares(world, blocks)
    arm = (rng.random(users)[sender] < share[block]).astype(int)
    converted = rng.random(requests) < np.minimum(own[sender] * np.where(arm, risk, 1.0), 1.0)
    seen = np.stack([np.bincount(block[arm == a], minlength=blocks) for a in (0, 1)])
    known = np.stack([np.bincount(block[converted & (arm == a)], minlength=blocks) for a in (0, 1)])
    _, first = np.unique(sender[converted], return_index=True)
    at = np.flatnonzero(converted)[np.sort(first)]
    return Traffic(share, seen, known, arm[at], block[at])


def _known(rng: np.random.Generator, events: Ints, longest: float) -> Ints:
    if not longest:
        return events
    blocks = events.shape[1]
    known = np.zeros_like(events)
    for arm in (0, 1):
        at = np.repeat(np.arange(blocks), events[arm])
        late = at + np.minimum(rng.exponential(longest / 3, len(at)), longest).astype(int)
        known[arm] = np.bincount(late[late < blocks], minlength=blocks)
    return known


def information_limit(base: float, risk: float, share: float, alpha: float) -> float:
    """The fewest users, on average, in which any valid test with power one can tell.

    ``ln(1 / alpha) / I``, I the mutual information of arm and outcome in nats.

    Source: Wald (1945); Turner, Ly & Gruenwald, Generic E-Variables for Exact Sequential k-Sample
    Tests that allow for Optional Stopping (2022).
    """
    p = np.array([base, base * risk])
    weights = np.array([1 - share, share])
    mean = weights @ p
    gain = p * np.log(p / mean) + (1 - p) * np.log((1 - p) / (1 - mean))
    return float(np.log(1 / alpha) / (weights @ gain))
