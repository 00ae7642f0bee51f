"""JSON bodies of one row, read straight to its values where nothing about them is unusual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trimtab.schema.values import MAX_EXACT, MAX_TEXT
from trimtab.types import FeatureKind, FeatureSpec, PlainRow, Scalar

MAX_KEY = 512
Key = Annotated[str, Meta(min_length=1, max_length=MAX_KEY)]
"""A routing key, as JSON has it."""

# 2^53 itself is left out: as a float, the whole number above it looks the same.
_TYPES: dict[FeatureKind, Any] = {
    FeatureKind.NUMERIC: Annotated[float, Meta(gt=-MAX_EXACT, lt=MAX_EXACT)],
    FeatureKind.INTEGER: Annotated[int, Meta(gt=-MAX_EXACT, lt=MAX_EXACT)],
    FeatureKind.BOOLEAN: bool,
    FeatureKind.CATEGORICAL: Annotated[str, Meta(max_length=MAX_TEXT)],
}
_values = msgspec.structs.astuple
_BACKSLASH = ord("\\")


class PlainBodies:
    """Reads ``{"features": {…}, "key": …}``; None leaves a body to the checks by value, and to their words.

    Usual are numbers below 2^53, whole ones where such are due, truth values and texts; a value is
    absent only where it may be, nothing stands twice, and no character is escaped.

    Args:
        specs: What a row has, in order.

    Raises:
        ValueError: a name cannot stand in JSON as it is.
    """

    def __init__(self, specs: Sequence[FeatureSpec]) -> None:
        names = [f"f{at}" for at in range(len(specs))]
        sent = [str(spec.name) for spec in specs]  # also where it is of a class of texts
        fields: list[Any] = [
            (name, _TYPES[spec.kind], None) if spec.nullable else (name, _TYPES[spec.kind])
            for name, spec in zip(names, specs, strict=True)
        ]
        row = msgspec.defstruct(
            "Row",
            fields,
            rename=dict(zip(names, sent, strict=True)),
            kw_only=True,
            forbid_unknown_fields=True,
            gc=False,
        )
        body = msgspec.defstruct(
            "Body",
            [("features", row), ("key", Key | None, None)],
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decode = msgspec.json.Decoder(body).decode
        self._names = len(specs) + 1
        self._may_lack = any(spec.nullable for spec in specs)
        self._texts = tuple(
            at for at, spec in enumerate(specs) if spec.kind is FeatureKind.CATEGORICAL
        )

    def __call__(self, body: bytes, arrived: float) -> PlainRow | None:
        """The row, None for its missing values; the body was there at that time in monotonic seconds."""
        try:
            found: Any = self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        values: tuple[Scalar, ...] = _values(found.features)
        key: str | None = found.key
        # Each name is followed by a colon: a body with more of them has a name that stands twice.
        colons = self._names - (values.count(None) if self._may_lack else 0)
        if key is not None:
            colons += 1 + key.count(":")
        for at in self._texts:
            if (text := values[at]) is not None:
                colons += text.count(":")  # type: ignore[union-attr]  # it is text
        if body.count(b":") != colons or _BACKSLASH in body:
            return None
        return PlainRow(values, key, arrived)
