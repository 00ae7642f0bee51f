"""The refusals of a row or a column, each with a hint."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence

from trimtab.errors import InvalidRow
from trimtab.schema.values import WrongValue


def feature_path(path: str, name: str) -> str:
    """Where a feature stands, for example ``rows[3].features.distance``."""
    return f"{path}.features.{name}" if path else f"features.{name}"


def refusal(name: str, wrong: WrongValue, path: str) -> InvalidRow:
    """A value of the wrong kind, as an error."""
    return InvalidRow(
        f"The feature {name!r} {wrong.message}.",
        hint="Where the value is not known and may be missing, send null or leave it out.",
        code=wrong.code,
        path=feature_path(path, name),
    )


def missing(name: str, path: str, features: Collection[str], known: Collection[str]) -> InvalidRow:
    """A value that is not there but must be, as an error."""
    strangers = [other for other in features if other not in known]
    return InvalidRow(
        f"The feature {name!r} is missing, and the model cannot do without it.",
        hint=meant(name, strangers, "Was it sent as {!r}?") or f"Send a value for {name!r}.",
        code="missing_feature",
        path=feature_path(path, name),
    )


def meant(name: str, names: Iterable[str], question: str = "Did you mean {!r}?") -> str:
    """A question with the closest of ``names``; empty when none is close."""
    lower = {str(other).lower(): str(other) for other in names}
    close = difflib.get_close_matches(short(name).lower(), lower, n=1)
    return question.format(lower[close[0]]) if close else ""


def short(name: str) -> str:
    """A name that fits into a message."""
    return name if len(name) <= 100 else f"{name[:97]}..."


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names for a message, at most ``most``."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
