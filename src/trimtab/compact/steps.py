"""What a row program may do to numbers, by name; each works in place on one row or on many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trimtab.errors import InvalidInput
from trimtab.types import Array

FUNCTIONS: Mapping[str, np.ufunc] = {
    function.__name__: function
    for function in (
        np.absolute, np.cbrt, np.cos, np.exp, np.exp2, np.expm1, np.log, np.log10, np.log1p,
        np.log2, np.negative, np.reciprocal, np.sign, np.sin, np.sqrt, np.square, np.tanh,
    )
}  # fmt: skip
"""Functions of one number that a program may name."""

Change = Callable[[Array, Sequence[Array]], None]
"""Changes registers in place: shape ``(n,)`` for one row, ``(n, rows)`` for many."""


def _fill_nan(block: Array, given: Sequence[Array]) -> None:
    np.copyto(block, given[0], where=np.isnan(block))


def _fill_equal(block: Array, given: Sequence[Array]) -> None:
    np.copyto(block, given[1], where=block == given[0])


def _subtract(block: Array, given: Sequence[Array]) -> None:
    np.subtract(block, given[0], out=block)


def _add(block: Array, given: Sequence[Array]) -> None:
    np.add(block, given[0], out=block)


def _multiply(block: Array, given: Sequence[Array]) -> None:
    np.multiply(block, given[0], out=block)


def _divide(block: Array, given: Sequence[Array]) -> None:
    np.divide(block, given[0], out=block)


def _clip(block: Array, given: Sequence[Array]) -> None:
    np.clip(block, given[0], given[1], out=block)


def _is_nan(block: Array, _: Sequence[Array]) -> None:
    block[...] = np.isnan(block)


def _is_equal(block: Array, given: Sequence[Array]) -> None:
    block[...] = block == given[0]


def _is_above(block: Array, given: Sequence[Array]) -> None:
    block[...] = block > given[0]


def _finite(block: Array, _: Sequence[Array]) -> None:
    if not np.isfinite(block).all():
        raise InvalidInput(
            "A value is missing or infinite where the model's preprocessing needs a number.",
            hint="Put an imputer before that step.",
            code="not_finite",
        )


def _not_infinite(block: Array, _: Sequence[Array]) -> None:
    if np.isinf(block).any():
        raise InvalidInput(
            "A value became infinite in the model's preprocessing.",
            hint="A logarithm of zero does that.",
            code="not_finite",
        )


STEPS: Mapping[str, tuple[int, Change]] = {
    "fill_nan": (1, _fill_nan),
    "fill_equal": (2, _fill_equal),
    "subtract": (1, _subtract),
    "add": (1, _add),
    "multiply": (1, _multiply),
    "divide": (1, _divide),
    "clip": (2, _clip),
    "is_nan": (0, _is_nan),
    "is_equal": (1, _is_equal),
    "is_above": (1, _is_above),
    "finite": (0, _finite),
    "not_infinite": (0, _not_infinite),
}
"""Steps by name: how many numbers each takes a register, and what it does."""


def _function(name: str) -> Change:
    function = FUNCTIONS[name]

    def change(block: Array, _: Sequence[Array]) -> None:
        with np.errstate(all="ignore"):
            function(block, out=block)

    return change


def _bins(block: Array, edges: Sequence[Array]) -> None:
    for values, inner in zip(block, edges, strict=True):
        values[...] = np.searchsorted(inner, values, side="right")


def _bins_of_one(block: Array, edges: Sequence[Array]) -> None:
    for i, inner in enumerate(edges):
        block[i] = np.searchsorted(inner, block[i], side="right")


def change_of(name: str, parameters: int, registers: int, *, one: bool) -> Change | None:
    """The step of that name; None if there is none that takes so many parameters."""
    if name == "bins" and parameters == registers:
        return _bins_of_one if one else _bins
    if name in FUNCTIONS and parameters == 0:
        return _function(name)
    takes, change = STEPS.get(name, (-1, _is_nan))
    return change if takes == parameters else None
