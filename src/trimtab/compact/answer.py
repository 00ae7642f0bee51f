"""Answers with a tree of nodes: each is bound to its arrays once, and checked while it is bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from trimtab.compact.forest import Forest
from trimtab.compact.links import logistic_of_one
from trimtab.compact.nodes import (
    Calibrated,
    Calibration,
    Curve,
    Leaf,
    Linear,
    Mean,
    Node,
    Pick,
    Stack,
    Trees,
)
from trimtab.compact.program import Program, read_numbers, read_places
from trimtab.compact.rows import Rows
from trimtab.errors import InvalidInput, Refused
from trimtab.types import Array, FloatArray, Scalar

MAX_DEPTH = 16

MODERATE = 1e76
"""A sum of squares below it is one of numbers below 1e38; float32 goes up to 3.4e38."""

FEW = 4_096
"""So few numbers are squared on one core, in less time than it takes to look at each."""

Answer = Callable[[Sequence[Array], int], FloatArray]
"""Columns and how many rows they have, to shape ``(rows, outputs)``."""

One = Callable[[Sequence[Scalar]], Sequence[float]]
"""One row's values, None for missing, to its outputs."""

Many = Callable[[Sequence[Sequence[Scalar]]], FloatArray]
"""Rows of values to shape ``(rows, outputs)``, each row's as it would be alone."""

Predict = Callable[[FloatArray], FloatArray]


class Model(NamedTuple):
    """An estimator as functions of a matrix, and how many outputs it has.

    ``apart`` answers each row as if it were alone, ``alone`` the only one, which is given as shape ``(width,)``
    and checked too: to the last bit they say the same.
    """

    predict: Predict
    outputs: int
    apart: Predict
    alone: Callable[[FloatArray], Sequence[float]]


class Binder:
    """Binds nodes.

    Args:
        programs: The artifact's row programs.
        forests: Its forests, by section.
        text: For each source column, whether it holds text.

    Raises:
        Refused: a node names what does not exist, or shapes do not fit together.
    """

    def __init__(
        self, programs: Sequence[Program], forests: Sequence[Forest], text: Sequence[bool]
    ) -> None:
        self._programs = programs
        self._forests = forests
        self._text = tuple(text)
        self._bound: dict[int, Rows] = {}

    def bind(self, node: Node, depth: int = 0) -> tuple[Answer, int]:
        """A node as a function, and how many outputs it has."""
        if depth > MAX_DEPTH:
            raise _malformed("the depth of its parts")
        if isinstance(node, Leaf):
            return self._leaf(node)
        if isinstance(node, Mean):
            return _mean(node, [self.bind(part, depth + 1) for part in node.parts])
        if isinstance(node, Calibration):
            parts = [(part, *self.bind(part.part, depth + 1)) for part in node.parts]
            return _calibration(node, parts)
        if isinstance(node, Pick):
            return _pick(node, *self.bind(node.part, depth + 1))
        return self._stack(node, depth)

    def one(self, node: Node) -> One | None:
        """The same function of one row of values; None for nodes of several parts."""
        if not isinstance(node, Leaf):
            return None
        rows = self._rows(node.program)
        make, predict = rows.one, self._model(node, rows.width).alone
        return lambda values: predict(make(values))

    def many(self, node: Node) -> Many | None:
        """The same function of several rows, each of which is answered as if it were alone."""
        if not isinstance(node, Leaf):
            return None
        rows, check = self._rows(node.program), _CHECKS[node.check]
        predict = self._model(node, rows.width).apart
        make = rows.several

        def answer(values: Sequence[Sequence[Scalar]]) -> FloatArray:
            matrix = make(values)
            check(matrix)
            return predict(matrix)

        return answer

    def _rows(self, program: int) -> Rows:
        if not 0 <= program < len(self._programs):
            raise _malformed("a program's number")
        if program not in self._bound:
            self._bound[program] = Rows(self._programs[program], self._text)
        return self._bound[program]

    def _leaf(self, leaf: Leaf) -> tuple[Answer, int]:
        rows, check = self._rows(leaf.program), _CHECKS[leaf.check]
        predict, outputs, _, _ = self._model(leaf, rows.width)
        make = rows.matrix

        def answer(sources: Sequence[Array], count: int) -> FloatArray:
            matrix = make(sources, count)
            check(matrix)
            return predict(matrix)

        return answer, outputs

    def _model(self, leaf: Leaf, width: int) -> Model:
        if not isinstance(leaf.model, Trees):
            return _linear(leaf.model, width, leaf.check)
        if not 0 <= leaf.model.section < len(self._forests):
            raise _malformed("a forest's number")
        return _trees(leaf.model, self._forests[leaf.model.section], width, leaf.check)

    def _stack(self, stack: Stack, depth: int) -> tuple[Answer, int]:
        parts = [self.bind(part, depth + 1) for part in stack.parts]
        if len(stack.skip) != len(parts) or not parts:
            raise _malformed("the parts of a stack")
        width = 0
        for (_, outputs), skip in zip(parts, stack.skip, strict=True):
            if not 0 <= skip < outputs:
                raise _malformed("the columns of a stack")
            width += outputs - skip
        extra = None if stack.program < 0 else self._rows(stack.program)
        width += 0 if extra is None else extra.width
        inner = Binder(self._programs, self._forests, [False] * width)
        final, outputs = inner.bind(stack.final, depth + 1)

        def answer(sources: Sequence[Array], count: int) -> FloatArray:
            columns: list[Array] = []
            for (part, _), skip in zip(parts, stack.skip, strict=True):
                columns += list(part(sources, count).T[skip:])
            if extra is not None:
                columns += list(extra.matrix(sources, count).T)
            return final(columns, count)

        return answer, outputs


def _finite(matrix: Array) -> None:
    # A few finite numbers have a finite square, unless one is very large: quicker than a ufunc and all().
    if matrix.size <= FEW and math.isfinite(np.vdot(matrix, matrix)):
        return
    if not np.isfinite(matrix).all():
        raise InvalidInput(
            "A value is missing or infinite, and the model takes none that is.",
            hint="Put an imputer into the pipeline.",
            code="not_finite",
        )


def _moderate(matrix: FloatArray) -> bool:
    """Whether it is sure without a look at each that all of a few numbers are finite, as float32 too."""
    return matrix.size <= FEW and bool(np.vdot(matrix, matrix) < MODERATE)


def _not_infinite(matrix: Array) -> None:
    if not _moderate(matrix) and np.isinf(matrix).any():
        raise InvalidInput("A value became infinite in the preprocessing.", code="not_finite")


def _anything(_: FloatArray) -> None:
    return


def _float32(matrix: FloatArray) -> None:
    if not _moderate(matrix):
        with np.errstate(over="ignore"):
            _finite(matrix.astype(np.float32))


def _float32_or_nan(matrix: FloatArray) -> None:
    if not _moderate(matrix):
        with np.errstate(over="ignore"):
            _not_infinite(matrix.astype(np.float32))


_CHECKS: dict[str, Callable[[FloatArray], None]] = {
    "finite": _finite,
    "not_infinite": _not_infinite,
    "float32": _float32,
    "float32_or_nan": _float32_or_nan,
    "none": _anything,
}


def _trees(model: Trees, forest: Forest, width: int, check: str) -> Model:
    outputs = forest.columns if model.raw else forest.outputs
    if forest.features != width or outputs != model.outputs:
        raise _malformed("the columns of a forest")
    refuse = _CHECKS[check]
    if model.raw:
        return Model(forest.raw, outputs, forest.raw, _only(forest.raw, refuse))

    def alone(row: FloatArray) -> Sequence[float]:
        refuse(row)
        return forest.one(row)

    return Model(forest.predict, outputs, forest.predict, alone)


def _only(
    predict: Predict, check: Callable[[FloatArray], None]
) -> Callable[[FloatArray], Sequence[float]]:
    """A function of a matrix as one of its only row."""

    def alone(row: FloatArray) -> Sequence[float]:
        check(row)
        outputs: list[float] = predict(row[None])[0].tolist()
        return outputs

    return alone


def _linear(model: Linear, width: int, check: str) -> Model:
    slopes, shift = read_numbers(model.coefficients), read_numbers(model.intercepts)
    outputs = max(model.outputs, 1)
    if len(slopes) != outputs * width or len(shift) not in {1, outputs}:
        raise _malformed("the coefficients of a linear model")
    link, classes = _LINKS[model.link], 2 if model.link in {"logistic", "huber"} else outputs
    if classes == 2 and outputs != 1 and model.link == "logistic":
        raise _malformed("a logistic function of several scores")
    matrix = slopes.reshape(outputs, width)
    if model.in_order:

        def score(X: FloatArray) -> FloatArray:
            products = X[:, None, :] * matrix
            return np.add.accumulate(products, axis=2)[:, :, -1] + shift

        apart = score

    elif model.outputs == 0:

        def score(X: FloatArray) -> FloatArray:
            found: FloatArray = (X @ slopes + shift).reshape(-1, 1)
            return found

        def apart(X: FloatArray) -> FloatArray:
            # A product of matrices adds in another order than one of a row; a stack of rows does not.
            found: FloatArray = X[:, None, :] @ slopes + shift
            return found

    else:
        turned = matrix.T

        def score(X: FloatArray) -> FloatArray:
            found: FloatArray = X @ turned + shift
            return found

        def apart(X: FloatArray) -> FloatArray:
            found: FloatArray = (X[:, None, :] @ turned)[:, 0, :] + shift
            return found

    width_out = classes if outputs == 1 else outputs
    predict = _linked(link, score)
    alone = _one_score(model, slopes, shift, check) or _only(predict, _CHECKS[check])
    return Model(predict, width_out, _linked(link, apart), alone)


def _linked(link: Predict, score: Predict) -> Predict:
    return lambda X: link(score(X))


def _one_score(
    model: Linear, slopes: FloatArray, shift: FloatArray, check: str
) -> Callable[[FloatArray], Sequence[float]] | None:
    """A row alone with no array around its score; None where that is not one, or not all that is asked for.

    The product of two vectors is what that of a matrix of one row with a column comes down to, to the last bit.
    """
    link, base = _LINKS_OF_ONE.get(model.link), float(shift[0])
    if link is None or model.outputs > 1 or model.in_order or check != "finite":
        return None

    def alone(row: FloatArray) -> Sequence[float]:
        score = float(row.dot(slopes)) + base
        if not math.isfinite(score):  # as it is wherever a number of the row is not
            _finite(row)
        return link(score)

    return alone


def _identity(scores: FloatArray) -> FloatArray:
    return scores


def _logistic(scores: FloatArray) -> FloatArray:
    both = np.empty((len(scores), 2))
    expit(scores[:, 0], out=both[:, 1])
    np.subtract(1, both[:, 1], out=both[:, 0])
    return both


def _softmax(scores: FloatArray) -> FloatArray:
    raised = np.exp(scores - scores.max(axis=1)[:, None])
    return np.asarray(raised / raised.sum(axis=1)[:, None])


def _one_vs_rest(scores: FloatArray) -> FloatArray:
    each = expit(scores)
    total = each.sum(axis=1)
    none = total == 0
    each[none] = 1
    total[none] = each.shape[1]
    return np.asarray(each / total[:, None])


def _huber(scores: FloatArray) -> FloatArray:
    positive = (np.clip(scores[:, 0], -1, 1) + 1.0) / 2.0
    return np.stack([1 - positive, positive], axis=1)


_LINKS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "identity": _identity,
    "exp": np.exp,
    "logistic": _logistic,
    "softmax": _softmax,
    "one_vs_rest": _one_vs_rest,
    "huber": _huber,
}

_LINKS_OF_ONE: dict[str, Callable[[float], Sequence[float]]] = {
    "identity": lambda score: (score,),
    "logistic": logistic_of_one,
}
"""What these make of one score."""


def _mean(node: Mean, parts: list[tuple[Answer, int]]) -> tuple[Answer, int]:
    weights = read_numbers(node.weights) if node.weights else None
    widths = {outputs for _, outputs in parts}
    if len(widths) != 1 or (weights is not None and len(weights) != len(parts)):
        raise _malformed("the parts of a mean")
    answers = [answer for answer, _ in parts]

    def answer(sources: Sequence[Array], rows: int) -> FloatArray:
        each = np.asarray([part(sources, rows) for part in answers])
        if node.by_row:
            return np.average(each[:, :, 0].T, axis=1, weights=weights)[:, None]
        return np.asarray(np.average(each, axis=0, weights=weights))

    return answer, widths.pop()


def _calibration(
    node: Calibration, parts: list[tuple[Calibrated, Answer, int]]
) -> tuple[Answer, int]:
    bound = []
    for part, answer, width in parts:
        places = read_places(part.classes).tolist()
        fits = len(part.curves) == len(places) and len(places) <= width
        fits = fits and all(0 <= place < node.outputs for place in places)
        if not fits or not 2 <= node.outputs:
            raise _malformed("the curves of a calibration")
        bound.append((answer, [_curve(curve) for curve in part.curves], places))
    if not bound:
        raise _malformed("a calibration of nothing")

    def answer_all(sources: Sequence[Array], rows: int) -> FloatArray:
        mean = np.zeros((rows, node.outputs))
        for part, curves, places in bound:
            mean += _calibrated(part(sources, rows), curves, places, node.outputs)
        mean /= len(bound)
        return mean

    return answer_all, node.outputs


def _calibrated(
    scores: FloatArray,
    curves: Sequence[Callable[[FloatArray], FloatArray]],
    places: Sequence[int],
    classes: int,
) -> FloatArray:
    found = np.zeros((len(scores), classes))
    for place, curve, column in zip(places, curves, scores.T, strict=False):
        found[:, place] = curve(column)
    if classes == 2:
        found[:, 0] = 1.0 - found[:, 1]
    else:
        total = found.sum(axis=1)[:, None]
        even = np.full_like(found, 1 / classes)
        found = np.divide(found, total, out=even, where=total != 0)
    found[(found > 1.0) & (found <= 1.0 + 1e-5)] = 1.0
    return found


def _curve(curve: Curve) -> Callable[[FloatArray], FloatArray]:
    x, y = read_numbers(curve.x), read_numbers(curve.y)
    if curve.kind == "sigmoid":
        if len(x) != 1 or len(y) != 1:
            raise _malformed("a sigmoid")
        slope, shift = float(x[0]), float(y[0])
        return lambda scores: np.asarray(expit(-(slope * scores + shift)))
    if not len(x) or len(x) != len(y) or not bool((np.diff(x) > 0).all()):
        raise _malformed("an isotonic curve")
    if len(x) == 1:
        return lambda scores: np.full(len(scores), y[0])
    return lambda scores: np.interp(np.clip(scores, x[0], x[-1]), x, y)


def _pick(node: Pick, part: Answer, width: int) -> tuple[Answer, int]:
    if not 0 <= node.column < width:
        raise _malformed("a picked column")
    return lambda sources, rows: part(sources, rows)[:, node.column : node.column + 1], 1


def _malformed(what: str) -> Refused:
    return Refused(
        f"The compact model is malformed: {what} cannot be.",
        hint="Register the model again.",
        code="artifact_malformed",
    )
