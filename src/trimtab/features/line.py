"""A stored row's values as they came: a tuple beside a head of names that many rows share."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any

from trimtab.types import Record, Scalar


class Head:
    """The names of a line's values, in order; equal heads are one object, as far as they are kept.

    Args:
        names: All different.
        floats: Whether every value is a float.
    """

    __slots__ = ("floats", "names", "places")

    def __init__(self, names: tuple[str, ...], *, floats: bool) -> None:
        self.names = names
        self.floats = floats
        self.places = {name: at for at, name in enumerate(names)}


class Line(Record, frozen=True, gc=False, eq=False):
    """Values by name: a mapping that costs no dictionary, and equals one of the same.

    ``row`` has one value a name.

    >>> Line(Head(("wind", "snow"), floats=True), (3.0, 0.5))["snow"]
    0.5
    """

    head: Head
    row: Sequence[Scalar]

    def __getitem__(self, name: str) -> Scalar:
        return self.row[self.head.places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.head.names)

    def __len__(self) -> int:
        return len(self.head.names)

    def __contains__(self, name: object) -> bool:
        return name in self.head.places

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]  # as a dictionary has none

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def get(self, name: str, default: Any = None) -> Any:
        """The value of that name, or the default."""
        at = self.head.places.get(name)
        return default if at is None else self.row[at]

    def keys(self) -> KeysView[str]:
        """The names."""
        return self.head.places.keys()

    def values(self) -> ValuesView[Scalar]:
        """The values, in the names' order."""
        return dict(self.items()).values()

    def items(self) -> ItemsView[str, Scalar]:
        """Names with their values."""
        return dict(zip(self.head.names, self.row, strict=True)).items()


Mapping.register(Line)
