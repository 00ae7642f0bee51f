"""The compiled row checker of a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from math import isfinite
from operator import itemgetter
from typing import Any, Literal

import numpy as np

from trimtab.errors import InvalidRow
from trimtab.schema.plain import PlainBodies
from trimtab.schema.refusals import feature_path, listed, meant, missing, refusal, short
from trimtab.schema.values import CONVERT, MAX_TEXT, WrongValue, entity_key
from trimtab.types import Array, Columns, FeatureKind, FeatureSpec, RowRequest, Scalar, Signature

_ABSENT = object()
_FLOATS = frozenset({float, type(None)})
_TEXTS = frozenset({str, type(None)})


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
        optional = not any(required for _, _, required in self._plan)
        gaps: list[Scalar] = [None] * len(self._plan)
        self._nothing = gaps if optional and self._extra else None
        self._refuse = unknown == "refuse"
        plain = not (entities or inputs or provided)
        self.read = _reader(signature.features) if plain else None
        """Reads a plain JSON body of a row to what :meth:`check` would make of it; None where none can be plain."""

        kinds = {spec.kind for spec in signature.features}
        self._numbers = FeatureKind.CATEGORICAL not in kinds
        self._whole: _Whole | None = None
        if kinds <= {FeatureKind.NUMERIC, FeatureKind.CATEGORICAL} and not (entities or inputs):
            self._whole = _Whole(
                signature.names,
                [spec.kind is FeatureKind.CATEGORICAL for spec in signature.features],
                gaps=not any(required for _, _, required in self._plan),
            )

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
        if self._whole is not None and (whole := self._whole(features)) is not None:
            return whole, {}
        if self._nothing is not None and tuple(features) == self._extra:
            return self._nothing[:], self._keys(features, path)  # views fill all of it
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

    def keys_alone(
        self, columns: Mapping[str, Sequence[str]]
    ) -> tuple[list[list[Scalar]], list[dict[str, str]]] | None:
        """What :meth:`check` makes of rows that bring plain texts as their keys and nothing else; None if they do not.

        Args:
            columns: Keys by name, one a row.
        """
        nothing = self._nothing
        if nothing is None or tuple(columns) != self._extra:
            return None
        for keys in columns.values():
            joined = "".join(keys)
            if not (all(keys) and joined.isascii() and len(joined) <= MAX_TEXT):
                return None
        if len(set(map(len, columns.values()))) != 1:
            return None
        entities = [
            dict(zip(columns, keys, strict=True)) for keys in zip(*columns.values(), strict=True)
        ]
        return [nothing[:] for _ in entities], entities

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


def _reader(specs: Sequence[FeatureSpec]) -> PlainBodies | None:
    try:
        return PlainBodies(specs)
    except ValueError:  # a name cannot stand in JSON as it is
        return None


class _Whole:
    """Takes a row in one go where nothing about it is unusual; None leaves it to the checks by value.

    Usual are finite floats and short ASCII texts, with values absent only where they may be.

    Args:
        names: The row's values, in order.
        text: For each of them, whether it is text; the others are numbers.
        gaps: Whether all of them may be missing.
    """

    def __init__(self, names: Sequence[str], text: Sequence[bool], *, gaps: bool) -> None:
        self._names = names
        self._width = len(names)
        self._gaps = gaps
        numbers = [i for i, is_text in enumerate(text) if not is_text]
        texts = [i for i, is_text in enumerate(text) if is_text]
        self._numbers = _several(numbers) if texts else None
        self._texts = _several(texts)

    def __call__(self, features: Mapping[str, Scalar]) -> list[Scalar] | None:
        values = list(map(features.get, self._names))
        gaps = values.count(None)
        # Unequal where a name is unknown, or a null was sent.
        if len(features) + gaps != self._width or (gaps and not self._gaps):
            return None
        numbers: Iterable[Any] = values if self._numbers is None else self._numbers(values)
        if not _FLOATS.issuperset(map(type, numbers)):
            return None
        # A sum is finite if all are; one that overflows leaves the row to the checks by value.
        if not isfinite(sum(filter(None, numbers))):
            return None
        if self._texts is not None:
            texts: Any = self._texts(values)
            if not _TEXTS.issuperset(map(type, texts)):
                return None
            joined = "".join(filter(None, texts))
            if len(joined) > MAX_TEXT or not joined.isascii():
                return None
        return values


def _several(places: Sequence[int]) -> Callable[[Sequence[Scalar]], tuple[Scalar, ...]] | None:
    """Picks values at several places; None if there are none."""
    if not places:
        return None
    if len(places) == 1:
        return lambda values: (values[places[0]],)
    return itemgetter(*places)


def column(spec: FeatureSpec, values: Sequence[Scalar]) -> Array:
    """One feature's values, None for missing, as :class:`~trimtab.types.Columns` holds them."""
    if spec.kind is FeatureKind.CATEGORICAL:
        array: Array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    return np.array(values, dtype=np.float64)
