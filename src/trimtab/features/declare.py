"""Feature views in Python: the same definitions as in TOML, and transforms by a decorator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeVar

import msgspec

from trimtab.config import ViewConfig, ViewFeature, ViewTransform, convert
from trimtab.errors import InvalidConfig
from trimtab.types import Record

__all__ = ["Feature", "View", "transform", "view"]

Feature = ViewFeature
F = TypeVar("F", bound=Callable[..., object])
_MARK = "trimtab_transform"


class View(Record, frozen=True):
    """A definition with its name."""

    name: str
    config: ViewConfig


def transform(*, inputs: Sequence[str] | None = None, **settings: Any) -> Callable[[F], F]:
    """Make a function a transform, whose name is the feature's; the function itself is unchanged.

    Args:
        inputs: What it takes, in order; its parameters' names unless named.
        **settings: ``kind``, ``unit``, ``default`` and whatever else a transform can say in TOML.
    """

    def mark(function: F) -> F:
        taken = inspect.signature(function).parameters if inputs is None else inputs
        told = {
            "name": function.__name__,
            "function": f"{function.__module__}:{function.__qualname__}",
            "inputs": list(taken),
            **settings,
        }
        setattr(function, _MARK, convert(told, ViewTransform))
        return function

    return mark


def view(name: str, *, transforms: Sequence[Callable[..., object]] = (), **settings: Any) -> View:
    """A feature view.

    Args:
        name: Its name.
        transforms: Functions that ``transform`` decorates.
        **settings: ``entity``, ``features``, ``realtime`` and whatever else a view can say in TOML.

    Raises:
        InvalidConfig: a setting is unknown or out of bounds, or a function is no transform.
    """
    told = dict(settings)
    for part in ("features", "request"):
        told[part] = [msgspec.to_builtins(one) for one in told.get(part, ())]
    marked = []
    for position, function in enumerate(transforms):
        found = getattr(function, _MARK, None)
        if found is None:
            raise InvalidConfig(
                f"{function!r} is no transform.",
                path=f"features.views.{name}.transforms[{position}]",
                hint="Decorate it with @transform().",
            )
        marked.append(msgspec.to_builtins(found))
    return View(name=name, config=convert({**told, "transforms": marked}, ViewConfig))


def views_in(module: ModuleType) -> dict[str, ViewConfig]:
    """The definitions that stand in a module, by their names.

    Raises:
        InvalidConfig: two bear one name.
    """
    found: dict[str, ViewConfig] = {}
    for one in vars(module).values():
        if not isinstance(one, View):
            continue
        if found.setdefault(one.name, one.config) is not one.config:
            raise InvalidConfig(
                f"Two views in {module.__name__!r} are named {one.name!r}.",
                code="view_twice",
                path=f"features.views.{one.name}",
                hint="Rename one.",
            )
    return found
