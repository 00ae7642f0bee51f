"""What guardrails promise, simulated: Trimtab's beside what others do, on the same draws.

Run by ``make bench-rollout``: ``guardrails`` takes minutes; ``guardrails full`` makes so many runs that the
bounds of the page are reached, and with ``--keep FILE`` may be stopped and goes on where it was.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from bets import crossings, levels
from cases import ALPHAS, FIT, HALF, HARMED, MARGIN, QUIET, UNFIT, Case
from counting import Kept, Task, put, table, upper
from methods import Method, asymptotic_sequence, m_sprt, windowed_threshold, z_peeking
from worlds import (
    BLOCK,
    WORLDS,
    World,
    draw,
    draw_heavy,
    heavy_requests,
    information_limit,
    rates,
    seen,
)

from trimtab.rollout import eprocess
from trimtab.types import Harm

HORIZON = 200_000
BLOCKS = HORIZON // BLOCK
BASES = (0.01, 0.03, 0.10)
BASE, RISK = 0.03, 0.6
HARM = eprocess.harm(Harm.FEWER, 0.0)
CERTIFICATE = eprocess.certificate(Harm.FEWER, MARGIN)
TRUE_RISKS = (1.2, 1.0, 0.9, 0.8, 0.6)
LIMITS = [1 / alpha for alpha in ALPHAS]

PEERS: Mapping[str, Method] = {
    "z-test, peeking": z_peeking,
    "mSPRT": m_sprt,
    "asymptotic sequence": asymptotic_sequence,
    "3 windows below 80 %": windowed_threshold,
}


def quiet(world: World, peer_runs: int) -> Callable[[np.random.Generator, int, int], Counter[str]]:
    """A candidate exactly as good as control; peers see the first runs."""
    rate = rates(world, BASE, BLOCKS)

    def chunk(rng: np.random.Generator, runs: int, number: int) -> Counter[str]:
        looked, watched = None, number * runs < peer_runs
        if world.heavy and watched:
            events, looked = heavy_requests(rng, world, BASE, BLOCKS, runs)
        elif world.heavy:
            events = draw_heavy(rng, world, BASE, 1.0, BLOCKS, runs)
        else:
            events, counts = draw(rng, world, BASE, 1.0, BLOCKS, runs)
            looked = seen(rng, world, events, counts, (rate, rate)) if watched else None
        sums: Counter[str] = Counter()
        for alpha, first in zip(ALPHAS, crossings(HARM, events, LIMITS), strict=True):
            sums[f"ours {alpha}"] += int((first >= 0).sum())
        if looked is not None:
            sums["peer runs"] += runs
            for name, fires in PEERS.items():
                for alpha in ALPHAS:
                    sums[f"{name} {alpha}"] += int(np.isfinite(fires(looked, alpha)).sum())
        return sums

    return chunk


def level(world: World) -> Callable[[np.random.Generator, int, int], Counter[str]]:
    """What ``quiet`` estimates by counting, by weights that vary little."""

    def chunk(rng: np.random.Generator, runs: int, _number: int) -> Counter[str]:
        drawn = draw_heavy(rng, world, BASE, 1.0, BLOCKS, runs) if world.heavy else (
            draw(rng, world, BASE, 1.0, BLOCKS, runs)[0]
        )  # fmt: skip
        weights = levels(rng, HARM, drawn, LIMITS)
        sums: Counter[str] = Counter()
        for alpha, weight in zip(ALPHAS, weights, strict=True):
            sums[f"weight {alpha}"] = weight.sum()
            sums[f"square {alpha}"] = (weight**2).sum()
        return sums

    return chunk


def harmed(base: float, alpha: float) -> Callable[[np.random.Generator, int, int], Counter[str]]:
    """A candidate that converts 40 % less: users until each method says so, the horizon at most."""
    world, blocks = WORLDS[0], int(information_limit(base, RISK, 0.1, alpha) * 12 / BLOCK)
    rate = np.full(blocks, base)
    peers = {**PEERS, "mSPRT": partial(m_sprt, base=base)}

    def chunk(rng: np.random.Generator, runs: int, _number: int) -> Counter[str]:
        events, counts = draw(rng, world, base, RISK, blocks, runs)
        looked = seen(rng, world, events, counts, (rate, rate * RISK))
        (first,) = crossings(HARM, events, [1 / alpha])
        times = np.minimum(events.arrived(first), blocks * BLOCK)
        sums = Counter({"ours": times.sum(), "squares": (times**2).sum()})
        for name, fires in peers.items():
            sums[name] += np.minimum(fires(looked, alpha), blocks * BLOCK).sum()
        return sums

    return chunk


def state(risk: float) -> Callable[[np.random.Generator, int, int], Counter[str]]:
    """What is said of a candidate after 20,000 users, half of them its own; alpha 0.05."""

    def chunk(rng: np.random.Generator, runs: int, _number: int) -> Counter[str]:
        events, _ = draw(rng, HALF, BASE, risk, 200, runs)
        (worse,), (certified,) = (
            crossings(bet, events, LIMITS[:1]) >= 0 for bet in (HARM, CERTIFICATE)
        )
        return Counter({
            "harmed": int(worse.sum()),
            "certified": int((certified & ~worse).sum()),
        })  # fmt: skip

    return chunk


class Simulation:
    """The tasks of each table, and the table of what they have summed.

    Args:
        kept: Where sums are.
        chosen: How many runs of each kind.
    """

    def __init__(self, kept: Kept, chosen: argparse.Namespace) -> None:
        self._kept = kept
        self._chosen = chosen

    def false_rollbacks(self) -> str:
        """One row a world and level."""
        runs, peer_runs = self._chosen.runs, self._chosen.peer_runs
        tasks = [Task(f"false/{w.name}", runs, quiet(w, peer_runs)) for w in WORLDS]
        expected = [Task(f"level/{w.name}", runs // 10, level(w)) for w in WORLDS]
        self._kept.run([*tasks, *expected])
        rows = []
        for world, task, by_weight in zip(WORLDS, tasks, expected, strict=True):
            sums, weights = self._kept.sums[task.name], self._kept.sums[by_weight.name]
            for alpha in ALPHAS:
                peers = [f"{sums[f'{name} {alpha}'] / sums['peer runs']:.3f}" for name in PEERS]
                rows.append([
                    world.name, f"{alpha}", *_rate(sums, f"ours {alpha}"), _level(weights, alpha), *peers,
                ])  # fmt: skip
        return table(["world", "alpha", "runs", "Trimtab", "99 % bound", "expected", *PEERS], rows)

    def detections(self) -> str:
        """One row a base rate and level: mean users to detect over the limit, by method."""
        pairs = [(base, alpha) for alpha in ALPHAS for base in BASES]
        tasks = [
            Task(f"detect/{b}/{a}", self._chosen.detect_runs, harmed(b, a), 250) for b, a in pairs
        ]
        self._kept.run(tasks)
        rows = []
        for (base, alpha), task in zip(pairs, tasks, strict=True):
            sums, limit = self._kept.sums[task.name], information_limit(base, RISK, 0.1, alpha)
            runs = sums["runs"]
            mean = sums["ours"] / runs
            error = np.sqrt((sums["squares"] / runs - mean**2) / runs)
            rows.append([
                f"{base:.0%}", f"{alpha}", f"{runs:,}", f"{limit:,.0f}", f"{mean:,.0f}",
                f"**{mean / limit:.2f}** ± {error / limit:.2f}",
                *(f"{sums[name] / runs / limit:.2f}" for name in PEERS),
            ])  # fmt: skip
        head = ["base rate", "alpha", "runs", "limit, users", "Trimtab, users", "Trimtab / limit"]
        return table([*head, *PEERS], rows)

    def other_guardrails(self) -> str:
        """One row a kind of guardrail and level, without harm."""
        return self._rates("quiet", QUIET, ["guardrail", "without harm"], "false alarms")

    def other_harms(self) -> str:
        """One row a kind of guardrail: how soon a harm is found."""
        return self._times("harmed", HARMED, ["guardrail", "harm"], "found")

    def false_certificates(self) -> str:
        """One row a world and level: how often a harm as large as the margin is certified away."""
        return self._rates("unfit", UNFIT, ["events", "candidate"], "certified")

    def certificates(self) -> str:
        """One row a direction and share: how soon an equal candidate is certified."""
        return self._times("fit", FIT, ["events", "candidate"], "certified")

    def states(self) -> str:
        """One row a true risk: which of the three states it ends in."""
        tasks = [Task(f"state/{r}", self._chosen.detect_runs, state(r)) for r in TRUE_RISKS]
        self._kept.run(tasks)
        rows = []
        for risk, task in zip(TRUE_RISKS, tasks, strict=True):
            sums = self._kept.sums[task.name]
            told = (
                sums["certified"],
                sums["runs"] - sums["certified"] - sums["harmed"],
                sums["harmed"],
            )
            parts = [f"{count / sums['runs']:.3f}" for count in told]
            rows.append([f"{risk - 1:+.0%}", f"{sums['runs']:,}", *parts])
        return table(
            ["candidate's conversions", "runs", "certified", "no harm seen", "harmed"], rows
        )

    def _rates(self, kind: str, cases: Sequence[Case], head: list[str], what: str) -> str:
        rows = [
            [case.guardrail, case.world, f"{alpha}", *_rate(sums, f"found {alpha}")]
            for case, sums in self._sums(kind, cases, self._chosen.other_runs)
            for alpha in case.alphas
        ]
        return table([*head, "alpha", "runs", what, "99 % bound"], rows)

    def _times(self, kind: str, cases: Sequence[Case], head: list[str], what: str) -> str:
        rows = [
            [case.guardrail, case.world, f"{alpha}", f"{sums['runs']:,}", *_time(sums, alpha)]
            for case, sums in self._sums(kind, cases, self._chosen.detect_runs)
            for alpha in case.alphas
        ]
        return table([*head, "alpha", "runs", what, "mean users"], rows)

    def _sums(self, kind: str, cases: Sequence[Case], runs: int) -> list[tuple[Case, Counter[str]]]:
        tasks = [Task(f"{kind}/{c.guardrail}/{c.world}", runs, c.chunk, c.small) for c in cases]
        self._kept.run(tasks)
        return [(c, self._kept.sums[task.name]) for c, task in zip(cases, tasks, strict=True)]


TABLES: Mapping[str, tuple[str, Callable[[Simulation], str]]] = {
    "false": ("false rollbacks", Simulation.false_rollbacks),
    "detect": ("users to detect", Simulation.detections),
    "others": ("other guardrails", Simulation.other_guardrails),
    "harms": ("other harms", Simulation.other_harms),
    "unfit": ("false certificates", Simulation.false_certificates),
    "fit": ("certificates", Simulation.certificates),
    "states": ("states", Simulation.states),
}


def _rate(sums: Counter[str], name: str) -> list[str]:
    """Runs, the rate in bold and its bound."""
    count, runs = sums[name], sums["runs"]
    return [f"{runs:,}", f"**{count / runs:.5f}**", f"{upper(count, runs):.5f}"]


def _time(sums: Counter[str], alpha: float) -> list[str]:
    """How many were found, and after how many users on average."""
    runs = sums["runs"]
    return [f"{sums[f'found {alpha}'] / runs:.3f}", f"{sums[f'users {alpha}'] / runs:,.0f}"]


def _level(sums: Counter[str], alpha: float) -> str:
    """The expected rate, with its standard error."""
    mean = sums[f"weight {alpha}"] / sums["runs"]
    error = np.sqrt((sums[f"square {alpha}"] / sums["runs"] - mean**2) / sums["runs"])
    return f"{mean:.5f} ± {error:.5f}"


def main(arguments: Sequence[str]) -> None:
    """Simulate, print, and write the page's tables if asked to."""
    parser = argparse.ArgumentParser(prog="make bench-rollout", description=__doc__)
    parser.add_argument("size", nargs="?", choices=["full"], help="many runs, for the page")
    parser.add_argument("--runs", type=int, help="runs without harm, a world")
    parser.add_argument("--other-runs", type=int, help="the same for other guardrails, a row")
    parser.add_argument("--peer-runs", type=int, help="of which the peers see so many")
    parser.add_argument("--detect-runs", type=int, help="runs with harm, a row")
    parser.add_argument("--only", choices=list(TABLES), action="append", help="some tables alone")
    parser.add_argument("--keep", type=Path, help="a file that sums are kept in")
    parser.add_argument(
        "--write", type=Path, help="a page with markers, such as docs/guardrails.md"
    )
    chosen = parser.parse_args(arguments)
    full = chosen.size == "full"
    chosen.runs = chosen.runs or (400_000 if full else 20_000)
    chosen.other_runs = chosen.other_runs or (100_000 if full else 10_000)
    chosen.peer_runs = chosen.peer_runs or (2_000 if full else 1_000)
    chosen.detect_runs = chosen.detect_runs or (4_000 if full else 500)
    simulation = Simulation(Kept(chosen.keep), chosen)
    for name in chosen.only or TABLES:
        title, tell = TABLES[name]
        told = tell(simulation)
        print(f"\n{title}\n\n{told}", flush=True)
        if chosen.write:
            put(chosen.write, title, told)
