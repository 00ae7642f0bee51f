"""Versions of views: what a definition comes to, and what differs between two."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from trimtab.config import ViewConfig, convert
from trimtab.features.steps import load_function
from trimtab.types import Record

_LISTS = ("features", "transforms", "request")


class Change(Record, frozen=True):
    """One difference between two definitions; ``before`` or ``after`` is None where there is none."""

    path: str
    before: Any = None
    after: Any = None


def body_of(view: ViewConfig) -> dict[str, Any]:
    """A definition as JSON holds it, with what stands at its default left out."""
    return _told(view)


def view_of(body: Mapping[str, Any]) -> ViewConfig:
    """The definition that ``body_of`` told."""
    return convert(dict(body), ViewConfig)


def code_of(view: ViewConfig, path: str) -> dict[str, str]:
    """Digests of the source of a view's transforms, by name; of a builtin's name if it has none.

    Raises:
        InvalidConfig: a function cannot be imported.
    """
    found = {}
    for position, transform in enumerate(view.transforms):
        function = load_function(transform.function, f"{path}.transforms[{position}].function")
        try:
            text = inspect.getsource(function)
        except (OSError, TypeError):
            text = transform.function
        found[transform.name] = f"sha256:{sha256(text.encode()).hexdigest()}"
    return found


def digest_of(body: Mapping[str, Any], code: Mapping[str, str]) -> str:
    """``sha256:<hex>`` over a definition and the source of its transforms."""
    told = msgspec.json.encode({"body": body, "code": code}, order="sorted")
    return f"sha256:{sha256(told).hexdigest()}"


def changes(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    code_before: Mapping[str, str],
    code_after: Mapping[str, str],
) -> tuple[Change, ...]:
    """What differs between two definitions, by path, in order.

    >>> changes({"owner": "a"}, {"owner": "b"}, {}, {})
    (Change(path='owner', before='a', after='b'),)
    """
    old, new = _flat(before), _flat(after)
    old |= {f"transforms.{name}.source": code[:19] for name, code in code_before.items()}
    new |= {f"transforms.{name}.source": code[:19] for name, code in code_after.items()}
    return tuple(
        Change(path=path, before=old.get(path), after=new.get(path))
        for path in sorted({*old, *new})
        if old.get(path) != new.get(path)
    )


def _told(struct: msgspec.Struct) -> dict[str, Any]:
    """A struct's fields that are not at their default."""
    told: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if value == field.default:
            continue
        if isinstance(value, tuple):
            value = [_told(v) if isinstance(v, msgspec.Struct) else v for v in value]
        told[field.name] = value
    return told


def _flat(body: Mapping[str, Any]) -> dict[str, Any]:
    """``features.wind.default`` → value; a list of named things is keyed by their names."""
    flat: dict[str, Any] = {}
    for key, value in body.items():
        if key in _LISTS:
            for one in value:
                rest = {part: said for part, said in one.items() if part != "name"}
                lead = f"{key}.{one['name']}"
                flat[lead] = "declared"
                flat |= {f"{lead}.{part}": said for part, said in rest.items()}
        else:
            flat[key] = value
    return flat
