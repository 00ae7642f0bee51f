"""A packed form as the compact artifact: preparation as a row program, trees by memory map."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.compact.artifact import Draft, probe_of, read, write
from trimtab.compact.links import Link
from trimtab.compact.nodes import Check, Node, Trees
from trimtab.errors import InvalidPlan
from trimtab.optimize.convert.builder import Builder, Method
from trimtab.optimize.convert.estimators import READERS
from trimtab.optimize.convert.read import sources
from trimtab.optimize.convert.symbols import Matrix, Number, Unsupported
from trimtab.optimize.packed import PackedForm
from trimtab.optimize.pipelines import joined
from trimtab.types import Columns, Signature, Task

TOLERANCE = 1e-12
"""How far the artifact's answers may be from the form's, times their size where that is over 1."""

Encoding = tuple[Sequence[int], Mapping[int, Mapping[str | None, float]]]
"""The order of a booster's features in the signature, and the codes of its categories by place."""


@dataclass(frozen=True, slots=True)
class _Stand:
    """Stands where the trees stood while the steps before them are read."""

    form: PackedForm
    n_features_in_: int
    names: Any = None

    def __getattr__(self, name: str) -> Any:
        if name == "feature_names_in_" and self.names is not None:
            return self.names
        raise AttributeError(name)


def draft_of(
    form: PackedForm,
    signature: Signature,
    original: Any,
    columns: Columns,
    rows: Any,
    encoding: Encoding | None = None,
) -> Draft:
    """The artifact, not written yet, with probe rows that any machine must answer alike.

    Args:
        form: What is to be kept.
        signature: What it takes and answers.
        original: The model that it was made of, for the names of its columns.
        columns: At least one row, to be answered again wherever the artifact is opened.
        rows: The same, as the original takes them.
        encoding: How a booster by itself is given its columns; None for anything else.

    Raises:
        InvalidPlan: a step before the trees cannot be compiled; which and why.
    """
    expected = form.outputs(rows)
    tolerance = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    try:
        node, builder = _read(form, signature, original, encoding)
    except Unsupported as why:
        raise InvalidPlan(
            f"The optimised form cannot be registered: {why}.",
            code="not_compilable",
            hint="Write it to a file with --out; the registered version stays as it is.",
        ) from why
    draft = Draft(
        features=signature.features,
        outputs=1 if signature.task is Task.REGRESSION else len(signature.labels) or 2,
        programs=tuple(builder.programs),
        node=node,
        probe=probe_of(columns, expected, tolerance),
        packed=tuple(builder.packed),
    )
    with tempfile.TemporaryDirectory(prefix="trimtab-") as folder:
        write(draft, Path(folder) / "model")
        apart = read(Path(folder) / "model").differs()
    if apart is not None:
        raise InvalidPlan(
            f"The artifact would answer up to {apart:.3g} apart from the form that was certified.",
            code="not_compilable",
            hint="Write the form to a file with --out; the registered version stays as it is.",
        )
    return draft


def _read(
    form: PackedForm, signature: Signature, original: Any, encoding: Encoding | None
) -> tuple[Node, Builder]:
    builder = Builder(READERS, lambda model: isinstance(model, _Stand), _trees)
    if encoding is not None:
        order, codes = encoding
        if codes:
            raise Unsupported("a booster's own categories are coded before its trees")
        return _trees(
            _Stand(form, len(order)), Matrix(tuple(map(Number, order))), "predict", builder
        ), builder
    stand = _Stand(form, form.ensemble.features, getattr(original, "feature_names_in_", None))
    model = joined(form.head, stand)
    method: Method = "predict" if signature.task is Task.REGRESSION else "predict_proba"
    return builder.read(model, sources(model, signature), method), builder


def _trees(stand: Any, matrix: Matrix, method: Method, builder: Builder) -> Node:  # noqa: ARG001 - a reader's signature
    ensemble = stand.form.ensemble
    outputs = 2 if ensemble.link is Link.BINARY else ensemble.columns
    check: Check = "none"
    if ensemble.float32_input:
        check = "float32_or_nan" if ensemble.average else "float32"
    builder.packed.append(stand.form.packed)
    return builder.leaf(matrix, Trees(section=len(builder.packed) - 1, outputs=outputs), check)
