"""False rollbacks and users to detect: Trimtab's guardrail beside what others do, same draws.

Run by ``make bench-rollout``. With ``--runs`` and ``--write`` it makes the tables of
docs/guardrails.md anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from methods import (
    NEVER,
    asymptotic_sequence,
    e_process,
    m_sprt,
    windowed_threshold,
    z_peeking,
)
from rich.progress import track
from scipy.stats import beta
from worlds import BLOCK, WORLDS, Traffic, World, draw, draw_clustered, information_limit

SEED = 20_261_127
HORIZON = 200_000
BASES = (0.01, 0.03, 0.10)
RISK = 0.6
CLUSTERED = World("heavy users, sticky")
CLUSTERED_RAMP = World("heavy users, ramp", ramp=True)

Fires = Callable[[Traffic, float], float]
PEERS: Mapping[str, Fires] = {
    "z-test, peeking": z_peeking,
    "mSPRT": m_sprt,
    "asymptotic sequence": asymptotic_sequence,
    "3 windows below 80 %": windowed_threshold,
}


def upper(successes: int, runs: int) -> float:
    """The one-sided 99 % upper bound of a rate (Clopper & Pearson 1934)."""
    return float(beta.ppf(0.99, successes + 1, runs - successes)) if successes < runs else 1.0


def false_rollbacks(runs: int, peer_runs: int) -> list[list[str]]:
    """One row a world and level: the rate of false rollbacks by method."""
    rows = []
    for world in (*WORLDS, CLUSTERED, CLUSTERED_RAMP):
        drawn = draw_clustered if world in (CLUSTERED, CLUSTERED_RAMP) else draw
        ours = {0.05: 0, 0.01: 0}
        theirs = {(name, alpha): 0 for name in PEERS for alpha in ours}
        for run in track(range(runs), description=world.name):
            rng = np.random.default_rng([SEED, run])
            traffic = drawn(rng, world, 0.03, 1.0, HORIZON // BLOCK)
            for alpha in ours:
                ours[alpha] += e_process(traffic, alpha) < NEVER
                if run < peer_runs:
                    for name, fires in PEERS.items():
                        theirs[name, alpha] += fires(traffic, alpha) < NEVER
        for alpha, count in ours.items():
            shown = [f"{theirs[name, alpha] / peer_runs:.3f}" for name in PEERS]
            rows.append([
                world.name, f"{alpha}", f"**{count / runs:.4f}**", f"{upper(count, runs):.4f}", *shown,
            ])  # fmt: skip
    return rows


def detections(runs: int) -> list[list[str]]:
    """One row a base rate: mean users to detect 40 % fewer conversions over the limit, by method."""
    rows = []
    for alpha in (0.05, 0.01):
        for base in BASES:
            limit = information_limit(base, RISK, 0.1, alpha)
            peers = {**PEERS, "mSPRT": partial(m_sprt, base=base)}
            found: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
            blocks = int(limit * 12 / BLOCK)
            for run in track(range(runs), description=f"base rate {base:.0%}, alpha {alpha}"):
                rng = np.random.default_rng([SEED, 1, run])
                traffic = draw(rng, WORLDS[0], base, RISK, blocks)
                for name, fires in (("ours", e_process), *peers.items()):
                    # A run that never fires counts as the whole horizon, in nobody's favour.
                    found[name].append(min(fires(traffic, alpha), traffic.arrived[-1]))
            means = {name: float(np.mean(times)) for name, times in found.items()}
            rows.append([
                f"{base:.0%}", f"{alpha}", f"{limit:,.0f}", f"{means['ours']:,.0f}",
                f"**{means['ours'] / limit:.2f}**",
                *(f"{means[name] / limit:.2f}" for name in peers),
            ])  # fmt: skip
    return rows


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between a page's markers of that name."""
    begin, end = f"<!-- measured: {name} -->\n", "<!-- measured: end -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Simulate, print, and write the page's tables if asked to."""
    parser = argparse.ArgumentParser(prog="make bench-rollout", description=__doc__)
    parser.add_argument("--runs", type=int, default=2_000, help="runs a world for Trimtab")
    parser.add_argument("--peer-runs", type=int, default=500, help="of which the peers see so many")
    parser.add_argument("--detect-runs", type=int, default=500, help="runs a base rate")
    parser.add_argument(
        "--write", type=Path, help="a page with markers, such as docs/guardrails.md"
    )
    parser.add_argument("--only", choices=["false", "detect"], help="one of the two tables")
    chosen = parser.parse_args(arguments)
    tables = {}
    if chosen.only != "detect":
        head = ["world", "alpha", "Trimtab", "99 % bound", *PEERS]
        rows = false_rollbacks(chosen.runs, min(chosen.peer_runs, chosen.runs))
        tables["false rollbacks"] = table(head, rows)
    if chosen.only != "false":
        head = ["base rate", "alpha", "limit, users", "Trimtab, users", "Trimtab / limit", *PEERS]
        tables["users to detect"] = table(head, detections(chosen.detect_runs))
    for name, text in tables.items():
        print(f"\n{name}\n\n{text}")
        if chosen.write:
            put(chosen.write, name, text)
