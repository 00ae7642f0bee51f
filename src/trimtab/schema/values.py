"""One raw value to one feature value, by kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from trimtab.types import FeatureKind, Scalar

MAX_TEXT = 10_000
"""The longest category or entity key, in characters."""

MAX_EXACT = 2**53
"""The largest integer up to which ``float64`` holds every integer exactly."""

_TYPES = {dict: "an object", list: "a list", tuple: "a list", str: "a string", bool: "a boolean"}


class WrongValue(Exception):
    """Why a value is refused; the row knows where it stood."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _numeric(value: object) -> float | None:
    if type(value) is float:
        if math.isfinite(value):
            return value
        if math.isnan(value):
            return None
        raise WrongValue("not_finite", "is infinite, but a finite number is needed")
    if type(value) is int:
        if -MAX_EXACT <= value <= MAX_EXACT:
            return float(value)
        raise WrongValue("inexact", "is beyond 2^53, where numbers are no longer exact")
    if value is None:
        return None
    if isinstance(value, np.generic):
        return _numeric(value.item())
    raise WrongValue("wrong_type", f"must be a number, not {_described(value)}")


def _integer(value: object) -> int | None:
    if type(value) is int and -MAX_EXACT <= value <= MAX_EXACT:
        return value
    number = _numeric(value)
    if number is None:
        return None
    if not number.is_integer():
        raise WrongValue("not_integer", f"must be a whole number, not {number!r}")
    if abs(number) > MAX_EXACT:
        raise WrongValue("inexact", "is beyond 2^53, where numbers are no longer exact")
    return int(number)


def _boolean(value: object) -> bool | None:
    if type(value) is bool:
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.generic):
        return _boolean(value.item())
    raise WrongValue("wrong_type", f"must be true or false, not {_described(value)}")


def _categorical(value: object) -> str | None:
    if type(value) is str:
        return _text(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.generic):
        return _categorical(value.item())
    raise WrongValue("wrong_type", f"must be a string, not {_described(value)}")


def _text(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise WrongValue("too_long", f"has {len(value)} characters; at most {MAX_TEXT} are taken")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as wrong:
            raise WrongValue("not_text", "is not valid Unicode text") from wrong
    return value


def entity_key(value: object) -> str | None:
    """A string or an integer as the key of an entity; None if missing."""
    if type(value) is int:
        if abs(value) < 2**63:
            return str(value)
        raise WrongValue("too_long", "is an integer beyond 64 bits")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.generic):
        return entity_key(value.item())
    if type(value) is not str:
        raise WrongValue("wrong_type", f"must be a string or an integer, not {_described(value)}")
    if not value:
        raise WrongValue("empty_key", "is empty, but names an entity")
    return _text(value)


def _described(value: object) -> str:
    kind = _TYPES.get(type(value))
    if type(value) is int and abs(value) >= 2**63:
        return "an integer beyond 64 bits"
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return f"{kind} ({shown})" if kind else shown


CONVERT: Mapping[FeatureKind, Callable[[object], Scalar]] = {
    FeatureKind.NUMERIC: _numeric,
    FeatureKind.INTEGER: _integer,
    FeatureKind.BOOLEAN: _boolean,
    FeatureKind.CATEGORICAL: _categorical,
}
