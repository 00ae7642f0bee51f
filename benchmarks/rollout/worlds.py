"""Traffic to judge guardrails by, many runs at once: who arrives, who answers, who converts.

A world is simulated in blocks of 100 users. Within a block the share and the base rate stand still,
so a block is four numbers: users and conversions of control and of the candidate. What a method
sees of them depends on when outcomes arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaln

BLOCK = 100
STEPS = np.array([0.01, 0.05, 0.10, 0.25, 0.50])
HEAVY_USERS, MOST_REQUESTS, TAIL, CONCENTRATION = 50_000, 500, 1.2, 3.0

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Small = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class World:
    """How traffic behaves.

    ``ramp`` goes 1-5-10-25-50 % in equal steps, else the share is ``share``. ``drifting`` makes the
    base rate rise from half to twice and swing by 40 % a day. ``delay`` is the longest outcome
    delay, as a part of the horizon; delays are exponential with a third of it as mean, cut there.
    With ``outages`` the rate is thirty times as high in a fiftieth of the time, for both arms. ``heavy``
    users send many requests, and have rates of their own.
    """

    name: str
    ramp: bool = False
    drifting: bool = False
    delay: float = 0.0
    share: float = 0.1
    outages: bool = False
    heavy: bool = False


WORLDS = (
    World("stationary, 10 %"),
    World("ramp, diurnal drift", ramp=True, drifting=True),
    World("ramp, outcome delay", ramp=True, delay=0.1),
    World("ramp, drift and delay", ramp=True, drifting=True, delay=0.1),
    World("heavy users, sticky", heavy=True),
    World("heavy users, ramp", ramp=True, heavy=True),
)


@dataclass(frozen=True, slots=True)
class Events:
    """Each unit's first event in the order of the answers, one column a run.

    ``arm`` is 0 for control, 1 for the candidate, -1 behind a run's last event; ``block`` is when it was
    answered. ``share`` is the candidate's, by block.
    """

    share: Floats
    arm: npt.NDArray[np.int8]
    block: Small

    def arrived(self, at: Ints) -> Floats:
        """Users who had arrived by the end of the block of each run's event ``at``; never without one."""
        blocks = self.block[np.maximum(at, 0), np.arange(self.block.shape[1])].astype(np.int64)
        return np.where(at < 0, np.inf, (blocks + 1.0) * BLOCK)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a dashboard sees: users by block of answer, conversions by the block in which they are known.

    Shapes are ``(2, runs, blocks)``; control comes first.
    """

    users: Ints
    known: Ints


def shares(world: World, blocks: int) -> Floats:
    """The candidate's share in each block."""
    if not world.ramp:
        return np.full(blocks, world.share)
    return STEPS[np.arange(blocks) * len(STEPS) // blocks]


def rates(world: World, base: float, blocks: int) -> Floats:
    """Control's conversion rate in each block."""
    time = np.arange(blocks) / blocks
    found = np.full(blocks, base)
    if world.drifting:
        found *= 0.5 * 4.0**time * (1 + 0.4 * np.sin(2 * np.pi * 20 * time))
    if world.outages:
        found *= np.where((time * 10) % 1 < 0.02, 30.0, 1.0)
    return found


def draw(
    rng: np.random.Generator, world: World, base: float, risk: float, blocks: int, runs: int
) -> tuple[Events, Ints]:
    """Runs of a world in which each user comes once.

    Whose an event is depends on nothing but the share and the risk, so it is drawn event by event.

    Args:
        rng: Where chance comes from.
        world: How traffic behaves.
        base: Control's conversion rate.
        risk: The candidate's, relative to it; 1 is no harm.
        blocks: How long it goes on.
        runs: How many.

    Returns:
        The events, and how many each block has, of shape ``(runs, blocks)``.
    """
    share, rate = shares(world, blocks), rates(world, base, blocks)
    harmed = np.minimum(rate * risk, 1.0)
    either = share * harmed + (1 - share) * rate
    # Block by block: with one probability at a time they are drawn twice as fast.
    counts = np.ascontiguousarray(rng.binomial(BLOCK, either[:, None], (blocks, runs)).T)
    block = np.tile(np.arange(blocks, dtype=np.int16), runs).repeat(counts.ravel())
    arm = (rng.random(len(block)) < (share * harmed / either)[block]).astype(np.int8)
    return columns(share, arm, block, counts.sum(axis=1)), counts


def seen(
    rng: np.random.Generator,
    world: World,
    events: Events,
    counts: Ints,
    rates: tuple[Floats, Floats],
) -> Seen:
    """What dashboards see of runs that ``draw`` has made; ``rates`` are control's and the candidate's."""
    runs, blocks = counts.shape
    share = events.share
    without = (1 - share) * (1 - rates[0]) + share * (1 - rates[1])
    others = rng.binomial(BLOCK - counts, np.clip(share * (1 - rates[1]) / without, 0.0, 1.0))
    had = events.arm.T >= 0
    run = np.broadcast_to(np.arange(runs)[:, None], had.shape)[had]
    arm, at = events.arm.T[had], events.block.T[had].astype(np.int64)
    converted = _tally(run, arm, at, runs, blocks)
    users = np.stack([BLOCK - others - converted[1], others + converted[1]])
    if not world.delay:
        return Seen(users, converted)
    longest = world.delay * blocks
    late = at + np.minimum(rng.exponential(longest / 3, len(at)), longest).astype(np.int64)
    in_time = late < blocks
    return Seen(users, _tally(run[in_time], arm[in_time], late[in_time], runs, blocks))


def draw_heavy(
    rng: np.random.Generator, world: World, base: float, risk: float, blocks: int, runs: int
) -> Events:
    """Runs in which few people send most requests: those users alone who have an event.

    Of 50,000 users each sends ``Pareto(1.2)`` requests, at most 500, at any time, and has a rate of their
    own, Beta with mean ``base`` and concentration 3. Users without an event are no evidence, so only how many
    have one is drawn, how many events each of them has, and when the first was: the law of
    ``heavy_requests``, which draws every request. A ramp takes a risk of 1 only.
    """
    share = shares(world, blocks)
    control, candidate = events_of_a_user(base), events_of_a_user(base * risk)
    either = (1 - world.share) * control + world.share * candidate
    counts = rng.binomial(HEAVY_USERS, either.sum(), runs)
    whose = np.searchsorted(np.cumsum(either / either.sum()), rng.random(counts.sum()))
    first = 1 - rng.random(len(whose)) ** (1 / (whose + 1))
    order = np.argsort(np.arange(runs).repeat(counts) + first)
    block, whose = (first[order] * blocks).astype(np.int16), whose[order]
    odds = (share / (1 - share))[block] * (candidate / control)[whose]
    arm = (rng.random(len(block)) < odds / (1 + odds)).astype(np.int8)
    return columns(share, arm, block, counts)


def events_of_a_user(base: float) -> Floats:
    """The probabilities that a heavy user has 1, 2, ... 500 events."""
    sizes = np.arange(1, MOST_REQUESTS + 1)
    size = sizes**-TAIL - np.append(sizes[1:] ** -TAIL, 0.0)
    of, events = sizes[:, None], sizes[None, :]
    yes, no = base * CONCENTRATION, (1 - base) * CONCENTRATION
    with np.errstate(invalid="ignore"):
        ways = -betaln(of - events + 1, events + 1) - np.log(of + 1)
        chance = np.exp(ways + betaln(events + yes, of - events + no) - betaln(yes, no))
    return size @ np.where(events <= of, chance, 0.0)


def heavy_requests(
    rng: np.random.Generator, world: World, base: float, blocks: int, runs: int
) -> tuple[Events, Seen]:
    """The same users with every request of theirs, which is what a dashboard counts; no harm."""
    share = shares(world, blocks)
    kept: list[tuple[npt.NDArray[np.int8], Small, Ints, Ints]] = []
    for _ in range(runs):
        sizes = np.minimum(rng.pareto(TAIL, HEAVY_USERS) + 1, MOST_REQUESTS).astype(np.int64)
        sender = np.arange(HEAVY_USERS).repeat(sizes)
        own = rng.beta(base * CONCENTRATION, (1 - base) * CONCENTRATION, HEAVY_USERS)
        time = rng.random(len(sender))
        at = (time * blocks).astype(np.int64)
        arm = (rng.random(HEAVY_USERS)[sender] < share[at]).astype(np.int8)
        converted = np.flatnonzero(rng.random(len(sender)) < own[sender])
        order = converted[np.argsort(time[converted])]
        first = order[np.sort(np.unique(sender[order], return_index=True)[1])]
        users = _tally(np.zeros_like(at), arm, at, 1, blocks)
        known = _tally(np.zeros_like(order), arm[order], at[order], 1, blocks)
        kept.append((arm[first], at[first].astype(np.int16), users, known))
    counts = np.array([len(run[0]) for run in kept])
    events = columns(
        share,
        np.concatenate([run[0] for run in kept]),
        np.concatenate([run[1] for run in kept]),
        counts,
    )
    return events, Seen(
        np.concatenate([run[2] for run in kept], axis=1),
        np.concatenate([run[3] for run in kept], axis=1),
    )


def columns(share: Floats, arm: npt.NDArray[np.int8], block: Small, counts: Ints) -> Events:
    """Events one after the other, run by run, as columns."""
    there = np.arange(counts.max())[None, :] < counts[:, None]
    arms, blocks = np.full(there.shape, -1, np.int8), np.zeros(there.shape, np.int16)
    arms[there], blocks[there] = arm, block
    return Events(share, np.ascontiguousarray(arms.T), np.ascontiguousarray(blocks.T))


def _tally(run: Ints, arm: npt.NDArray[np.int8], at: Ints, runs: int, blocks: int) -> Ints:
    place = (arm.astype(np.int64) * runs + run) * blocks + at
    return np.bincount(place, minlength=2 * runs * blocks).reshape(2, runs, blocks)


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
