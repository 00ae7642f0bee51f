"""The refusal of a model that cannot be made compact."""

from __future__ import annotations

from typing import Any

from trimtab.errors import InvalidPlan


def unsupported(model: Any, why: str) -> InvalidPlan:
    """The error for a model, or one of that name; ``why`` continues the sentence "it …"."""
    name = model if isinstance(model, str) else type(model).__name__
    return InvalidPlan(
        f"{name} cannot be made compact: it {why}.",
        code="unsupported_model",
        hint="Serve it in its own format.",
    )
