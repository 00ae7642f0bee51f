"""Laws 1 and 2 on a million keys: nobody flips, shares are exact within the noise of drawing keys."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from trimtab.rollout import slots
from trimtab.rollout.router import Router
from trimtab.rollout.split import SLOTS, slot
from trimtab.types import Arm, Route

KEYS = 1_000_000
RAMPS: dict[str, tuple[tuple[float, ...], ...]] = {
    "10 → 25 → 50 → 100": ((0.1,), (0.25,), (0.5,), (1.0,)),
    "80/10/10 → 50/25/25 → 0/50/50": ((0.1, 0.1), (0.25, 0.25), (0.5, 0.5)),
    "uneven": ((0.01, 0.2, 0.05), (0.3, 0.2, 0.05), (0.3, 0.2, 0.5)),
}
Owners = NDArray[np.uint8]


@pytest.fixture(scope="module")
def of() -> NDArray[np.int64]:
    """The slot of each key."""
    return np.fromiter((slot("ramp", f"user-{i}") for i in range(KEYS)), np.int64, KEYS)


def steps_of(ramp: tuple[tuple[float, ...], ...]) -> list[bytes]:
    table, found = slots.all_control(), []
    for shares in ramp:
        table = slots.grow(table, shares)
        found.append(table)
    return found


@pytest.mark.parametrize("name", RAMPS)
def test_a_million_keys_flip_never_and_share_exactly(name: str, of: NDArray[np.int64]) -> None:
    ramp = RAMPS[name]
    tables = [np.frombuffer(table, dtype=np.uint8) for table in steps_of(ramp)]
    arms: list[Owners] = [table[of] for table in tables]
    assert [0] * (len(arms) - 1) == [
        int(((before != 0) & (after != before)).sum()) for before, after in pairwise(arms)
    ]
    looks = sum(map(len, ramp))
    worst = norm.ppf(1 - 0.01 / (2 * looks))
    for shares, table, got in zip(ramp, tables, arms, strict=True):
        for arm, share in enumerate(shares, start=1):
            assert round(share * SLOTS) == int((table == arm).sum())
            noise = np.sqrt(share * (1 - share) / KEYS)
            assert abs((got == arm).mean() - share) <= worst * noise + 1e-12


def test_slots_of_a_million_keys_are_uniform(of: NDArray[np.int64]) -> None:
    counts = np.bincount(of, minlength=SLOTS)
    statistic = float(((counts - KEYS / SLOTS) ** 2).sum() / (KEYS / SLOTS))
    assert 0.0005 < chi2.sf(statistic, SLOTS - 1) < 0.9995


def test_experiments_are_independent_of_each_other() -> None:
    keys, salts = 50_000, 12
    chosen = np.array(
        [
            np.fromiter((slot(f"salt-{s}", f"user-{i}") for i in range(keys)), np.int64, keys)
            < SLOTS // 10
            for s in range(salts)
        ],
        dtype=np.float64,
    )
    z = np.asarray(np.corrcoef(chosen))[np.triu_indices(salts, 1)] * np.sqrt(keys)
    assert np.abs(z).max() < norm.ppf(1 - 0.001 / (2 * len(z)))


def test_the_router_gives_each_key_the_owner_of_its_slot_in_every_process_order() -> None:
    ramp = RAMPS["80/10/10 → 50/25/25 → 0/50/50"]
    routers = [Router(), Router()]
    for epoch, (shares, table) in enumerate(zip(ramp, steps_of(ramp), strict=True)):
        arms = tuple(
            Arm(name=str(i), version=i + 1, share=share)
            for i, share in enumerate((1 - sum(shares), *shares))
        )
        route = Route(model="m", epoch=epoch, arms=arms, slots=table, salt="ramp", strategy="ab")
        for i in range(2_000):
            key = f"user-{i}"
            found = {router.assign(route, key, "p").arm for router in routers}
            assert {table[slot("ramp", key)]} == found
