"""A row that C packs and changes has the bits that NumPy gives it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.compact.kernel import packing
from trimtab.compact.program import Load, Program, Step, numbers, places
from trimtab.compact.rows import Rows
from trimtab.compact.steps import STEPS
from trimtab.types import FloatArray, Scalar

WIDTH = 5
NAMES = st.sampled_from(["subtract", "add", "multiply", "divide", "fill_nan"])
NUMBERS = st.lists(st.floats(), min_size=WIDTH, max_size=WIDTH).map(np.array)
VALUES = st.lists(
    st.one_of(st.none(), st.floats(), st.booleans(), st.integers(-(2**60), 2**60)),
    min_size=WIDTH,
    max_size=WIDTH,
)


@given(VALUES, st.lists(st.tuples(NAMES, NUMBERS), max_size=4))
def test_a_row_has_the_bits_that_numpy_gives_it(
    values: list[Scalar], steps: list[tuple[str, FloatArray]]
) -> None:
    expected = np.array([math.nan if value is None else value for value in values], np.float64)
    with np.errstate(all="ignore"):
        for name, each in steps:
            STEPS[name][1](expected, [each])
    pack = packing(WIDTH, steps)
    assert pack is not None
    assert same(np.frombuffer(pack(*values)), expected)


def test_steps_that_c_does_not_know_are_left_to_numpy() -> None:
    assert packing(1, [("subtract", np.ones(1)), ("is_nan", np.ones(1))]) is None


@pytest.mark.parametrize("values", [(), (1.0,), (1.0, 2.0, 3.0), ("1", 2.0), (1.0, [])])
def test_what_is_no_row_of_numbers_is_refused(values: tuple[Scalar, ...]) -> None:
    pack = packing(2, [])
    assert pack is not None
    with pytest.raises(TypeError):
        pack(*values)


def test_steps_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="another number of numbers"):
        packing(2, [("add", np.ones(3))])


@given(VALUES, VALUES, st.lists(st.tuples(NAMES, NUMBERS), max_size=3))
def test_rows_are_the_same_with_c_and_without(
    first: list[Scalar], second: list[Scalar], steps: list[tuple[str, FloatArray]]
) -> None:
    whole = places(range(WIDTH))
    changes = [
        Step(first=0, last=WIDTH, name=name, parameters=(numbers(each),)) for name, each in steps
    ]
    program = Program(WIDTH, (Load(first=0, sources=whole), *changes), whole)
    found = []
    for compiled in (True, False):
        rows = Rows(program, [False] * WIDTH, compiled=compiled)
        with np.errstate(all="ignore"):
            together = rows.several([first, second])
            assert same(together, np.array([rows.one(first), rows.one(second)]))
        found.append(together)
    assert same(*found)


def same(left: FloatArray, right: FloatArray) -> bool:
    """Equal to the last bit, but that all NaN are one."""
    nan = np.isnan(left)
    kept = left[~nan].tobytes() == right[~nan].tobytes()
    return bool((nan == np.isnan(right)).all()) and kept
