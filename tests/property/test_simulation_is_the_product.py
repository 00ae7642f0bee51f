"""The simulations behind docs/guardrails.md are of the product: both cross at the same events."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_simulation_and_the_product_agree_on_the_same_draws() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/rollout/agree.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"(\d+) runs agree with the product's windows, (\d+) of which", done.stdout)
    assert found is not None, done.stdout
    runs, crossed = map(int, found.groups())
    assert 0 < crossed < runs


EXACT = """
import numpy as np
from bets import crossings, levels
from cases import FLAT, once
from exact import crossing_chances
from scipy.stats import binom
from trimtab.rollout import eprocess
from trimtab.types import Harm

bet, users, rate, runs = eprocess.harm(Harm.MORE, 0.0), 20_000, 0.03, 4_000
counts, limits = np.arange(1_200), [5.0, 20.0]
for risk in (1.0, 1.3):
    rng = np.random.default_rng(1)
    events, _ = once(FLAT, rate, risk, users // 100)(rng, runs)
    found = (crossings(bet, events, limits) >= 0).mean(axis=1)
    weights = levels(rng, bet, events, limits)
    for at, limit in enumerate(limits):
        reached = crossing_chances(bet, 0.1, risk, limit, len(counts) - 1)
        exact = reached @ binom.pmf(counts, users, rate * (0.9 + 0.1 * risk))
        assert abs(found[at] - exact) < 4 * np.sqrt(exact * (1 - exact) / runs)
        error = weights[at].std() / np.sqrt(runs)
        assert risk != 1.0 or abs(weights[at].mean() - exact) < 4 * error < 0.2 * exact
"""


def test_simulated_rates_are_the_exact_ones_where_these_can_be_summed() -> None:
    subprocess.run([sys.executable, "-c", EXACT], cwd=ROOT / "benchmarks/rollout", check=True)
