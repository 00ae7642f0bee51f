"""Name to object through entry points; the only place that imports by name."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from trimtab.errors import InvalidConfig, NotFound

GROUPS = {
    "trimtab.formats": "model format",
    "trimtab.stores": "feature store",
    "trimtab.channels": "alert channel",
    "trimtab.strategies": "rollout strategy",
    "trimtab.statistics": "drift statistic",
    "trimtab.engines": "batch engine",
}


@cache
def names(group: str) -> tuple[str, ...]:
    """The plugin names of a group, sorted.

    Raises:
        NotFound: no such group.
    """
    if group not in GROUPS:
        raise NotFound(
            f"There is no plugin group {group!r}.", hint=f"Groups: {', '.join(sorted(GROUPS))}."
        )
    return tuple(sorted(entry.name for entry in entry_points(group=group)))


@cache
def load(group: str, name: str) -> Any:
    """The plugin of that name: a class or function, not an instance.

    Raises:
        NotFound: no such plugin, with the names there are.
        InvalidConfig: its extra is not installed.
    """
    if name not in names(group):
        raise NotFound(
            f"There is no {GROUPS[group]} named {name!r}.",
            hint=f"Known: {', '.join(names(group)) or 'none'}.",
        )
    (entry, *_) = (e for e in entry_points(group=group) if e.name == name)
    try:
        return entry.load()
    except ModuleNotFoundError as missing:
        raise InvalidConfig(
            f"The {GROUPS[group]} {name!r} needs the package {missing.name!r}.",
            hint="Install it; README.md lists the extras of Trimtab that bring such packages.",
        ) from missing


def by_path(path: str) -> Any:
    """The object that ``module:name`` names.

    Raises:
        InvalidConfig: the module or the name does not exist.
    """
    module, separator, name = path.partition(":")
    if not (module and separator and name):
        raise InvalidConfig(
            f"{path!r} does not name an object.", hint="Write it as 'package.module:name'."
        )
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ModuleNotFoundError, AttributeError) as missing:
        raise InvalidConfig(
            f"{path!r} cannot be imported: {missing}.",
            hint="Is the package installed in this environment, or its folder in PYTHONPATH,"
            " and the name spelled right?",
        ) from missing
    return found


def module(name: str) -> ModuleType:
    """A module by its dotted name, or by the path of its file, whose folder is then searched first.

    Raises:
        InvalidConfig: there is none, or it raised while it was imported.
    """
    if name.endswith(".py"):
        file = Path(name).resolve()
        if str(file.parent) not in sys.path:
            sys.path.insert(0, str(file.parent))
        name = file.stem
    try:
        return import_module(name)
    except (ImportError, SyntaxError, NameError, TypeError, ValueError, AttributeError) as wrong:
        raise InvalidConfig(
            f"{name!r} cannot be imported: {wrong}.",
            hint="Is it spelled right, and does it import by itself?",
        ) from wrong
