"""The compiled row checker of a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import isfinite
from operator import itemgetter
from typing import Literal

import numpy as np

from trimtab.errors import InvalidRow
from trimtab.schema.refusals import feature_path, listed, meant, missing, refusal, short
from trimtab.schema.values import CONVERT, WrongValue, entity_key
from trimtab.types import Array, Columns, FeatureKind, FeatureSpec, RowRequest, Scalar, Signature

_ABSENT = object()
_FLOAT = frozenset({float})


class Checker:
    """Checks rows against a signature, compiled once; a :class:`~trimtab.protocols.RowChecker`.

    Args:
        signature: What the model takes.
        provided: Features that views fill when a row does not bring them.
        entities: Names of the keys by which views are looked up: features, or fields beside them.
        unknown: Whether a feature that nobody knows is refused or ignored.
        inputs: What transforms take beside the signature; optional, its values follow the signature's.
    """

    def __init__(
        self,
        signature: Signature,
        provided: Collection[str] = (),
        entities: Collection[str] = (),
        unknown: Literal["refuse", "ignore"] = "refuse",
        inputs: Sequence[FeatureSpec] = (),
    ) -> None:
        self.signature = signature
        self._plan = tuple(
            (spec.name, CONVERT[spec.kind], not spec.nullable and spec.name not in provided)
            for spec in (*signature.features, *inputs)
        )
        self._entities = tuple(dict.fromkeys(entities))
        names = frozenset(name for name, _, _ in self._plan)
        self._known = names.union(self._entities)
        self._extra = tuple(name for name in self._entities if name not in names)
        self._refuse = unknown == "refuse"
        kinds = {spec.kind for spec in signature.features}
        self._numbers = FeatureKind.CATEGORICAL not in kinds
        plain = kinds == {FeatureKind.NUMERIC} and len(self._plan) > 1 and not self._entities
        self._pick = itemgetter(*(name for name, _, _ in self._plan)) if plain else None

    def check(self, row: RowRequest, path: str) -> tuple[list[Scalar], dict[str, str]]:
        """Values in signature order (None is missing), then inputs, and entity keys by name.

        Args:
            row: What the client sent.
            path: Where the row stands, for example ``rows[3]``.

        Raises:
            InvalidRow: naming the feature by its path; codes ``wrong_type``, ``not_finite``,
                ``not_integer``, ``inexact``, ``too_long``, ``not_text``, ``empty_key``,
                ``unknown_feature``, ``missing_feature``.
        """
        features = row.features
        if self._pick is not None and len(features) == len(self._plan):
            whole = _floats(self._pick, features)
            if whole is not None:
                return whole, {}
        values: list[Scalar] = []
        seen = 0
        for name, convert, required in self._plan:
            raw = features.get(name, _ABSENT)
            if raw is _ABSENT:
                value = None
            else:
                seen += 1
                try:
                    value = convert(raw)
                except WrongValue as wrong:
                    raise refusal(name, wrong, path) from None
            if value is None and required:
                raise missing(name, path, features, self._known)
            values.append(value)
        if seen < len(features) and self._refuse:
            self._refuse_unknown(features, seen, path)
        return values, self._keys(features, path) if self._entities else {}

    def columns(self, rows: Sequence[Sequence[Scalar]]) -> Columns:
        """Rows of values in signature order as columns for a Predictor."""
        specs = self.signature.features
        if not rows:
            return Columns(features=specs, arrays=tuple(column(spec, ()) for spec in specs))
        across = zip(*rows, strict=True)
        if self._numbers:  # one conversion for all; each column is a contiguous row of the matrix
            return Columns(features=specs, arrays=tuple(np.array([*across], dtype=np.float64)))
        return Columns(features=specs, arrays=tuple(map(column, specs, across)))

    def _keys(self, features: Mapping[str, Scalar], path: str) -> dict[str, str]:
        keys: dict[str, str] = {}
        for name in self._entities:
            try:
                key = entity_key(features.get(name))
            except WrongValue as wrong:
                raise refusal(name, wrong, path) from None
            if key is not None:
                keys[name] = key
        return keys

    def _refuse_unknown(self, features: Mapping[str, Scalar], seen: int, path: str) -> None:
        if seen + sum(name in features for name in self._extra) == len(features):
            return
        name = next(str(name) for name in features if name not in self._known)
        raise InvalidRow(
            f"The model knows no feature {short(name)!r}.",
            hint=meant(name, self._known) or f"It takes: {listed(self.signature.names)}.",
            code="unknown_feature",
            path=feature_path(path, short(name)),
        )


def _floats(
    pick: Callable[[Mapping[str, Scalar]], tuple[Scalar, ...]], features: Mapping[str, Scalar]
) -> list[Scalar] | None:
    """The values of a row of finite floats; None where one is absent or anything else."""
    try:
        values = pick(features)
    except KeyError:
        return None
    # A sum is finite if all are; one that overflows leaves the row to the checks value by value.
    if _FLOAT.issuperset(map(type, values)) and isfinite(sum(values)):  # type: ignore[arg-type]  # floats
        return list(values)
    return None


def column(spec: FeatureSpec, values: Sequence[Scalar]) -> Array:
    """One feature's values, None for missing, as :class:`~trimtab.types.Columns` holds them."""
    if spec.kind is FeatureKind.CATEGORICAL:
        array: Array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    return np.array(values, dtype=np.float64)
