"""Laws 1 to 3 of routing: same key same arm anywhere; ramps only take from control; exact shares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2, norm

import trimtab
from trimtab.rollout import slots
from trimtab.rollout.router import Router
from trimtab.rollout.split import SLOTS, slot, unit_hash
from trimtab.types import Arm, Route

GOLDEN = {
    ("salt", "user-1"): 6142,
    ("salt", "user-2"): 8298,
    ("pepper", "user-1"): 9052,
    ("a", "b:c"): 6704,
    ("", ""): 6411,
    ("0123456789abcdef", "ünïcode ✈"): 8911,
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PROGRAM = """
import json, sys
from trimtab.rollout.split import slot, unit_hash
print(json.dumps([[slot(s, k), unit_hash(k)] for s, k in json.loads(sys.argv[1])]))
"""


def route(table: bytes, versions: int) -> Route:
    arms = [
        Arm(name=f"v{i}", version=i, share=share)
        for i, share in enumerate(slots.shares(table, versions))
    ]
    return Route(model="m", epoch=1, arms=tuple(arms), slots=table, salt="salt", strategy="canary")


@pytest.mark.parametrize(("salt", "key"), GOLDEN)
def test_slots_are_pinned_for_ever(salt: str, key: str) -> None:
    assert GOLDEN[salt, key] == slot(salt, key)


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_another_process_agrees_whatever_its_hash_seed(seed: str) -> None:
    asked = [*GOLDEN, *(("salt", f"user-{i}") for i in range(200))]
    source = str(Path(trimtab.__file__).parents[1])
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asked)],
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": source},
        capture_output=True,
        check=True,
    )
    assert [[slot(salt, key), unit_hash(key)] for salt, key in asked] == json.loads(told.stdout)


@given(TEXT, TEXT)
def test_a_slot_is_one_of_10000(salt: str, key: str) -> None:
    assert 0 <= slot(salt, key) < SLOTS


def growing_shares() -> st.SearchStrategy[list[list[int]]]:
    """Shares in slots of up to four arms, over up to five steps, none shrinking, sum at most 1."""

    def scale(rows: list[list[int]]) -> list[list[int]]:
        steps = np.cumsum(np.array(rows), axis=0)
        most = max(int(steps[-1].sum()), SLOTS)
        return [[int(count) * SLOTS // most for count in step] for step in steps]

    def rows(arms: int) -> st.SearchStrategy[list[list[int]]]:
        count = st.integers(0, 6_000)
        return st.lists(st.lists(count, min_size=arms, max_size=arms), min_size=1, max_size=5)

    return st.integers(1, 4).flatmap(rows).map(scale)


@given(growing_shares())
def test_a_ramp_only_moves_slots_out_of_control_and_shares_are_exact(
    steps: list[list[int]],
) -> None:
    table = slots.all_control()
    for step in steps:
        grown = slots.grow(table, [count / SLOTS for count in step])
        flipped = [1 for old, new in zip(table, grown, strict=True) if old not in (0, new)]
        assert flipped == []
        assert tuple(c / SLOTS for c in (SLOTS - sum(step), *step)) == slots.shares(
            grown, len(step) + 1
        )
        table = grown


@pytest.mark.parametrize(
    "steps",
    [
        [(0.10,), (0.25,), (0.50,), (1.0,)],
        [(0.10, 0.10), (0.25, 0.25), (0.50, 0.50)],
        [(0.0001,), (0.0002,), (0.3333,)],
        [(0.05, 0.15), (0.05, 0.60), (0.40, 0.60)],
    ],
)
def test_no_key_flips_back_through_a_ramp_of_uneven_arms(steps: list[tuple[float, ...]]) -> None:
    assign = Router().assign
    keys = [f"user-{i}" for i in range(20_000)]
    table = slots.all_control()
    arms = np.zeros(len(keys), dtype=int)
    for step in steps:
        table = slots.grow(table, step)
        now = route(table, len(step) + 1)
        moved = np.array([assign(now, key, "").arm for key in keys])
        assert 0 == int(((arms != 0) & (moved != arms)).sum())
        for arm, share in enumerate(step, start=1):
            seen = float((moved == arm).mean())
            assert seen == pytest.approx(share, abs=4.5 * (share / len(keys)) ** 0.5)
        arms = moved


def test_slots_are_uniform_over_salts_and_independent_between_them() -> None:
    keys = [f"{i}" for i in range(20_000)]
    p_values, candidates = [], []
    for salt in ("a", "b", "r1", "r2", "flights-0001", "flights-0002", "é", "0"):
        found = np.array([slot(salt, key) for key in keys])
        counts = np.bincount(found // 10, minlength=1_000)
        p_values.append(float(chi2.sf(((counts - 20) ** 2 / 20).sum(), 999)))
        candidates.append(found < 1_000)
    assert min(p_values) > 0.001
    matrix = np.asarray(np.corrcoef(candidates))
    correlations = matrix[np.triu_indices(len(candidates), 1)]
    assert float(np.abs(correlations).max()) * len(keys) ** 0.5 < norm.isf(0.0005)


@given(st.one_of(st.none(), TEXT), TEXT, growing_shares())
def test_the_champion_alone_answers_without_a_rollout(
    key: str | None, fallback: str, steps: list[list[int]]
) -> None:
    table = slots.grow(slots.all_control(), [count / SLOTS for count in steps[-1]])
    alone = Route(
        model="m",
        epoch=1,
        arms=(Arm(name="champion", version=1, share=1.0),),
        slots=table,
        salt="salt",
    )
    assigned = Router().assign(alone, key, fallback)
    assert (0, bool(key)) == (assigned.arm, assigned.sticky)


@given(TEXT.filter(bool), st.lists(TEXT, min_size=2, max_size=5))
def test_a_key_goes_to_one_arm_whatever_the_request(key: str, fallbacks: list[str]) -> None:
    half = route(slots.grow(slots.all_control(), (0.5,)), 2)
    assert 1 == len({Router().assign(half, key, fallback) for fallback in fallbacks})
