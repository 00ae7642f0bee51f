"""A million keys through ramps: nobody flips back, shares are exact, salts are independent; and its cost."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.stats import chi2, norm
from xxhash import xxh3_64_intdigest

from trimtab.rollout import slots
from trimtab.rollout.router import Router
from trimtab.rollout.split import SLOTS, slot
from trimtab.types import Arm, Route

RAMPS = {
    "10 → 25 → 50 → 100 %": ((0.1,), (0.25,), (0.5,), (1.0,)),
    "80/10/10 → 50/25/25 → 0/50/50": ((0.1, 0.1), (0.25, 0.25), (0.5, 0.5)),
}


def owners(ramp: Sequence[Sequence[float]], of: np.ndarray) -> list[np.ndarray]:
    """The arm of each slot in ``of``, step by step."""
    table, found = slots.all_control(), []
    for shares in ramp:
        table = slots.grow(table, shares)
        found.append(np.frombuffer(table, dtype=np.uint8)[of])
    return found


def tell_ramps(keys: int) -> None:
    """Flips and share errors of each ramp."""
    of = np.array([slot("ramp", f"user-{i}") for i in range(keys)])
    for name, ramp in RAMPS.items():
        steps = owners(ramp, of)
        flips = sum(int(((a != 0) & (b != a)).sum()) for a, b in pairwise(steps))
        worst = 0.0
        for shares, arms in zip(ramp, steps, strict=True):
            for arm, share in enumerate(shares, start=1):
                noise = max(np.sqrt(share * (1 - share) / keys), 1e-12)
                worst = max(worst, abs((arms == arm).mean() - share) / noise)
        print(
            f"{name}: {keys:,} keys, {flips} flips, largest share error {worst:.2f} standard errors"
        )


def tell_salts(keys: int, salts: int) -> None:
    """Uniformity over slots by salt, and correlation between salts."""
    taken = [np.array([slot(f"salt-{s}", f"user-{i}") for i in range(keys)]) for s in range(salts)]
    p_values = []
    for of in taken:
        counts = np.bincount(of, minlength=SLOTS)
        statistic = float(((counts - keys / SLOTS) ** 2).sum() / (keys / SLOTS))
        p_values.append(float(chi2.sf(statistic, SLOTS - 1)))
    below = sum(p < 0.01 for p in p_values)
    chosen = np.array([of < SLOTS // 10 for of in taken], dtype=np.float64)
    z = np.corrcoef(chosen)[np.triu_indices(salts, 1)] * np.sqrt(keys)
    expected = norm.ppf(1 - 0.5 / (2 * len(z)))
    print(
        f"{salts} salts × {keys:,} keys: {below} of {salts} chi-squares below p = 0.01, smallest p "
        f"{min(p_values):.3g}; largest |z| between two salts {np.abs(z).max():.2f} "
        f"(about {expected:.2f} by chance)"
    )


def tell_cost(rounds: int = 9, calls: int = 100_000) -> None:
    """Nanoseconds of an assignment, beside the hash alone, turn by turn."""
    table = slots.grow(slots.all_control(), (0.1,))
    arms = (Arm(name="champion", version=1, share=0.9), Arm(name="candidate", version=2, share=0.1))
    route = Route(model="m", epoch=1, arms=arms, slots=table, salt="s", strategy="canary")
    assign, keys = Router().assign, [f"user-{i}" for i in range(calls)]
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        began = time.perf_counter()
        for key in keys:
            assign(route, key, "")
        taken[0].append(time.perf_counter() - began)
        began = time.perf_counter()
        for key in keys:
            xxh3_64_intdigest(f"s:{key}".encode())
        taken[1].append(time.perf_counter() - began)
    ours, floor = (float(np.median(times)) / calls * 1e9 for times in taken)
    print(f"an assignment: {ours:.0f} ns, the hash alone {floor:.0f} ns: {ours / floor:.1f} ×")


def main(arguments: Sequence[str]) -> None:
    """Print the three parts."""
    parser = argparse.ArgumentParser(prog="make bench-rollout ARGS=routing")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--salts", type=int, default=20)
    chosen = parser.parse_args(arguments)
    tell_ramps(chosen.keys)
    tell_salts(chosen.keys // 10, chosen.salts)
    tell_cost()
