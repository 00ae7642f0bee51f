"""What stands on top of row programs: a tree of estimators, as records without code.

Every node answers numbers of shape ``(rows, outputs)``. Arrays are bytes, as in
:mod:`trimtab.compact.program`.
"""

from __future__ import annotations

from typing import Literal

from trimtab.types import Record

Link = Literal["identity", "exp", "logistic", "softmax", "one_vs_rest", "huber"]
"""What a linear model makes of its scores.

``logistic``: P of two classes from one score. ``one_vs_rest``: a logistic function of each score,
divided by their sum. ``huber``: scores clipped to [-1, 1] and moved to [0, 1].
"""

Check = Literal["finite", "not_infinite", "float32", "float32_or_nan", "none"]
"""What a model refuses in its matrix, as the original does.

``float32`` refuses what is no finite number once it is rounded to float32.
"""


class Linear(Record, frozen=True, tag="linear"):
    """``X @ coefficients.T + intercepts``, then the link.

    ``outputs`` is 0 where the original's coefficients are a vector. ``in_order`` adds products from
    left to right, as sparse matrices are multiplied, instead of leaving the order to the library.
    """

    coefficients: bytes
    intercepts: bytes
    outputs: int
    link: Link
    in_order: bool = False


class Trees(Record, frozen=True, tag="trees"):
    """A compact forest: the artifact's section of that number.

    ``outputs`` is how many numbers it answers; with ``raw`` they are the sums before the link.
    """

    section: int
    outputs: int
    raw: bool = False


class Leaf(Record, frozen=True, tag="leaf"):
    """A program's matrix through one model."""

    program: int
    model: Linear | Trees
    check: Check = "finite"


class Mean(Record, frozen=True, tag="mean"):
    """The (weighted) mean of what parts answer; ``by_row`` as a vote of regressors takes it."""

    parts: tuple[Node, ...]
    weights: bytes = b""
    by_row: bool = False


class Curve(Record, frozen=True):
    """A calibration: ``sigmoid`` with slope and intercept, or ``isotonic`` with its corners x and y."""

    kind: Literal["sigmoid", "isotonic"]
    x: bytes
    y: bytes


class Calibrated(Record, frozen=True):
    """Scores of a part through a curve for each class; ``classes`` are their places."""

    part: Node
    curves: tuple[Curve, ...]
    classes: bytes


class Calibration(Record, frozen=True, tag="calibration"):
    """The mean of calibrated parts; ``outputs`` is how many classes there are."""

    parts: tuple[Calibrated, ...]
    outputs: int


class Stack(Record, frozen=True, tag="stack"):
    """What parts answer, side by side, is what ``final`` takes.

    ``skip`` is how many columns of each part are left out at its left; ``program`` adds columns of
    its own at the right, -1 none. The programs of ``final`` read these columns.
    """

    parts: tuple[Node, ...]
    skip: tuple[int, ...]
    final: Node
    program: int = -1


class Pick(Record, frozen=True, tag="pick"):
    """One column of what a part answers."""

    part: Node
    column: int


Node = Leaf | Mean | Calibration | Stack | Pick
