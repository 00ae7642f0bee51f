"""What a feature's value may be: its kind, its range; compiled once, cheap for each value."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, isnan
from sys import float_info
from typing import TypeGuard

import numpy as np

from trimtab.types import FeatureKind, Record, Scalar

_MAX_EXACT = 2**53
_MAX_TEXT = 10_000
_WANTED = {
    FeatureKind.NUMERIC: "a finite number, exact as a float",
    FeatureKind.INTEGER: "a whole number up to 2**53",
    FeatureKind.BOOLEAN: "true or false",
    FeatureKind.CATEGORICAL: "Unicode text of at most 10,000 characters",
}
_NUMBERS = frozenset({FeatureKind.NUMERIC, FeatureKind.INTEGER})


class PlannedFeature(Record, frozen=True):
    """One feature that a view provides; ``index`` is its place among what the resolver fills.

    ``minimum`` and ``maximum`` are inclusive. ``ttl_seconds`` bounds the age of a realtime value.
    """

    index: int
    name: str
    kind: FeatureKind
    default: Scalar = None
    minimum: float = -float_info.max
    maximum: float = float_info.max
    allowed: frozenset[Scalar] = frozenset()
    ttl_seconds: float | None = None

    def conform(self, value: object) -> Scalar:
        """A stored value as it is served, or None if it is missing (None or NaN).

        Raises:
            ValueError: it is of another kind, infinite, out of its range or not allowed.
        """
        if type(value) is float:
            plain = self.kind is FeatureKind.NUMERIC and not self.allowed
            if plain and self.minimum <= value <= self.maximum:
                return value
        elif type(value) is str:
            if self.kind is FeatureKind.CATEGORICAL and value in self.allowed:
                return value
        elif type(value) is int and -_MAX_EXACT <= value <= _MAX_EXACT:
            plain = self.kind is FeatureKind.INTEGER and not self.allowed
            if plain and self.minimum <= value <= self.maximum:
                return value
        served = conform(self.kind, value)
        if served is None:
            return None
        if self.kind in _NUMBERS and not self.minimum <= served <= self.maximum:  # type: ignore[operator]  # numbers by their kind
            raise ValueError(self._range())
        if self.allowed and served not in self.allowed:
            message = "not one of the allowed values"
            raise ValueError(message)
        return served

    def _range(self) -> str:
        if self.maximum == float_info.max:
            return f"not at least {self.minimum:g}"
        if self.minimum == -float_info.max:
            return f"not at most {self.maximum:g}"
        return f"not between {self.minimum:g} and {self.maximum:g}"


def conform(kind: FeatureKind, value: object) -> Scalar:
    """A value as its kind is served, or None if it is missing (None or NaN).

    Raises:
        ValueError: it is of another kind, or infinite.
    """
    if type(value) is float and kind is FeatureKind.NUMERIC and isfinite(value):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    fits: Scalar = None
    if kind is FeatureKind.CATEGORICAL:
        fits = value if is_text(value) else None
    elif kind is FeatureKind.BOOLEAN:
        fits = value if isinstance(value, bool) else None
    elif isinstance(value, float | int) and not isinstance(value, bool):
        fits = _number(kind, value)
    if fits is None:
        message = f"not {_WANTED[kind]}"
        raise ValueError(message)
    return fits


def is_text(value: object) -> TypeGuard[str]:
    """Whether this can be a category or an entity key: not too long, and with an encoding."""
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_plain_text(values: Sequence[object]) -> bool:
    """Whether all are text of ASCII alone, none too long; False says nothing about any one of them."""
    try:
        joined = "".join(values)  # type: ignore[arg-type]  # what else there is raises
    except TypeError:
        return False
    return joined.isascii() and len(joined) <= _MAX_TEXT


def join_keys(parts: tuple[str, ...]) -> str:
    """Several keys as one, so that no two tuples of one length give the same.

    >>> join_keys(("JFK",)), join_keys(("a|b", "c")), join_keys(("a", "b|c"))
    ('JFK', 'a%7Cb|c', 'a|b%7Cc')
    """
    if len(parts) == 1:
        return parts[0]
    return "|".join(part.replace("%", "%25").replace("|", "%7C") for part in parts)


def split_keys(entity: str) -> list[str]:
    """The keys that were joined.

    >>> split_keys("a%7Cb|c")
    ['a|b', 'c']
    """
    return [part.replace("%7C", "|").replace("%25", "%") for part in entity.split("|")]


def _number(kind: FeatureKind, value: float) -> float | None:
    whole = abs(value) <= _MAX_EXACT and value == int(value)
    if kind is FeatureKind.INTEGER:
        return int(value) if whole else None
    exact = whole or (not isinstance(value, int) and isfinite(value))
    return float(value) if exact else None
