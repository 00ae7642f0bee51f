"""JSON bodies to typed values: every refusal with a code and the path of the value."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from trimtab.errors import InvalidRequest

T = TypeVar("T")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|(\[\.\.\.\])")
_KINDS: dict[type, str] = {
    list: "array", dict: "object", str: "str", int: "int", float: "float", bool: "bool",
    type(None): "null",
}  # fmt: skip
_BEYOND = "out of range"
_DOCUMENTED = "The body must follow the documented schema."


class _Twice(Exception):
    """A name that stands twice in one object."""


def decode(
    decoder: msgspec.json.Decoder[T], body: bytes, names: Callable[[T], int] | None = None
) -> T:
    """Decode a JSON body.

    Of a name that stands twice in one object the decoder keeps the last value and says nothing. Each
    name is followed by a colon, so there are none of those when the body has no more colons than what
    was decoded has names; only a body that has more, as one with a colon in a text, is read again.

    Args:
        decoder: Of the documented shape.
        body: UTF-8.
        names: How many names were decoded, never more than there are; None has all bodies read again.

    Raises:
        InvalidRequest: ``malformed_json``, ``invalid_shape`` or ``duplicate_name``, with the path of
            what is wrong where it has one.
    """
    try:
        found = decoder.decode(body)
        if body.count(b":") != (-1 if names is None else names(found)):
            json.loads(body, object_pairs_hook=_unlike, parse_int=float)
    except msgspec.ValidationError as wrong:
        raise misshapen(wrong, _whole(body)) from wrong
    except RecursionError as wrong:
        raise InvalidRequest(
            "The body is nested too deeply.", code="invalid_shape", hint=_DOCUMENTED
        ) from wrong
    except _Twice as wrong:
        raise InvalidRequest(
            f"The name {str(wrong)[:80]!r} stands twice in one object.",
            code="duplicate_name",
            hint="Send each name once.",
        ) from wrong
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise InvalidRequest(
            f"The body is not valid JSON: {wrong}.",
            code="malformed_json",
            hint="JSON knows neither NaN nor Infinity; a missing value is null or absent.",
        ) from wrong
    return found


def misshapen(wrong: msgspec.ValidationError, sent: object, root: str = "") -> InvalidRequest:
    """The error of a value that is not of the documented shape.

    Args:
        wrong: As the decoder tells it.
        sent: The whole value, to complete the path.
        root: Where the value stands in the body.
    """
    message, _, where = str(wrong).partition(" - at `$")
    kind = (
        _BEYOND if message.lower().endswith(_BEYOND) else message.rpartition("got `")[2].strip("`")
    )
    path = (root + _completed(where.strip("`"), sent, kind)).strip(".")
    return InvalidRequest(f"{message}.", code="invalid_shape", path=path or None, hint=_DOCUMENTED)


def _whole(body: bytes) -> Any:
    """The body as plain values; None if what follows on the wrong value is no JSON either."""
    try:
        return json.loads(body, parse_int=_int)
    except (ValueError, RecursionError):
        return None


def _int(text: str) -> int | float:
    """A whole number; one of too many digits to be read is infinite."""
    return int(text) if len(text) < 400 else math.inf


def _completed(path: str, sent: Any, kind: str) -> str:
    """The path with the name of a value in an object of any names, where the decoder says ``[...]``.

    All values of such an object have one type, so the wrong one is the first of the wrong kind.
    """
    found = ""
    steps = _STEP.findall(path)
    for at, (field, index, _) in enumerate(steps):
        if index and isinstance(sent, list | tuple):
            found, sent = f"{found}[{index}]", sent[int(index)]
            continue
        if index or not isinstance(sent, dict):
            return path  # what follows on the wrong value was no JSON, so nothing is known of it
        if field:
            name = field
        else:
            rest = steps[at + 1 :]
            name = next((n for n, value in sent.items() if _leads(value, rest, kind)), "...")
        found, sent = f"{found}.{name[:80]}", sent.get(name)
    return found


def _leads(value: Any, rest: Sequence[tuple[str, str, str]], kind: str) -> bool:
    """Whether the rest of a path leads to a value of the wrong kind."""
    for _, index, _ in rest:
        if not index or not isinstance(value, list) or len(value) <= int(index):
            return False
        value = value[int(index)]
    if kind == _BEYOND:
        return type(value) is float and math.isinf(value)
    return _KINDS.get(type(value)) == kind


def _unlike(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise _Twice(twice)
    return found
