"""Leaf answers of 16 or 8 bits: fewer distinct ones make a shorter dictionary and equal subtrees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from trimtab.compact import Tree
from trimtab.optimize.packed import PackedForm, changed
from trimtab.protocols import ModelForm
from trimtab.types import FloatArray, Ground

BITS = (16, 8)


class QuantiseLeaves:
    """Every leaf's answer moved to the nearest of 2^bits levels between the least and the largest.

    No answer of a tree moves by more than half a level. Probabilities keep their sum of 1 for two
    classes, since the levels are symmetrical.
    """

    name = "quantise leaves"
    lossless = False

    def offers(
        self,
        form: ModelForm,
        ground: Ground,  # noqa: ARG002 - the levels need no rows
    ) -> Iterator[tuple[str, ModelForm]]:
        """One form with leaves of 16 bits and one with 8."""
        if not isinstance(form, PackedForm):
            return
        low, high = ranges(form)
        for bits in BITS:
            levels = Levels(low, high, bits)
            yield f"leaves of {bits} bits", changed(form, levels.applied)


@dataclass(frozen=True, slots=True)
class Levels:
    """2^bits levels for each column of sums."""

    low: FloatArray
    high: FloatArray
    bits: int

    def applied(self, tree: Tree) -> Tree:
        """The tree with its leaves' answers at the nearest levels."""
        part = slice(tree.column, tree.column + tree.value.shape[1])
        low, width = self.low[part], (self.high - self.low)[part]
        most = 2**self.bits - 1
        steps = np.rint((tree.value - low) / np.where(width > 0.0, width, 1.0) * most)
        return replace(
            tree, value=np.where(tree.left[:, None] < 0, low + steps * width / most, 0.0)
        )


def ranges(form: PackedForm) -> tuple[FloatArray, FloatArray]:
    """The least and the largest leaf answer of each column."""
    columns = form.ensemble.columns
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    for tree in form.ensemble.trees:
        part = slice(tree.column, tree.column + tree.value.shape[1])
        answers = tree.value[tree.left < 0]
        low[part] = np.minimum(low[part], answers.min(axis=0))
        high[part] = np.maximum(high[part], answers.max(axis=0))
    return np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)
