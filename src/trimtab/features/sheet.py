"""Many rows of one request that lack the same: filled view by view as a whole, not value by value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress, repeat
from operator import itemgetter, ne

from trimtab.features.draft import REALTIME, REQUEST, Draft, Finish, Layout, Wants
from trimtab.types import Resolved, Scalar, StoredRow

WORTH_A_SHEET = 16
"""From so many rows on, a sheet takes less time than row by row."""


class Rows:
    """The rows of a sheet, and the drafts of those that need one.

    Args:
        rows: Values in the signature's order, none of them NaN.
        event_times: Unix seconds, one a row.
    """

    __slots__ = ("drafts", "event_times", "rows")

    def __init__(self, rows: Sequence[Sequence[Scalar]], event_times: Sequence[float]) -> None:
        self.rows = rows
        self.event_times = event_times
        self.drafts: dict[int, Draft] = {}

    def draft(self, at: int) -> Draft:
        """A row that is filled value by value."""
        draft = self.drafts.get(at)
        if draft is None:
            draft = self.drafts[at] = Draft(self.rows[at], self.event_times[at])
        return draft


class Column:
    """What all rows of a sheet want of one view, which is all of its features.

    What cannot be placed as a whole is left to a draft of its row.

    Args:
        rows: The sheet's.
        layout: The view.
        names: The entity of each row, None where it names none.
    """

    __slots__ = ("_names", "_rows", "ages", "complete", "entities", "layout", "source", "values")

    def __init__(self, rows: Rows, layout: Layout, names: Sequence[str | None]) -> None:
        once: Sequence[str] = [*filter(None, dict.fromkeys(names))]
        self._rows = rows
        self._names = once if len(once) == len(names) else names
        self.layout = layout
        self.entities = once
        self.complete = False
        self.values: Sequence[tuple[float, ...] | None] = [None] * len(names)
        self.ages: Sequence[float] = ()
        self.source = ""

    def take(self, rows: Mapping[str, StoredRow], source: str) -> tuple[Wants | None, float | None]:
        """Fill the rows; what is still wanted, and the oldest stored row's age."""
        oldest = self._place(rows, source)
        if self.complete:
            return None, oldest
        draft, features = self._rows.draft, self.layout.view.features
        wants = [
            (draft(at), name, features)
            for at, (name, values) in enumerate(zip(self._names, self.values, strict=True))
            if values is None and name is not None
        ]
        rest, other = Wants(self.layout, wants).take(rows, source)
        ages = [age for age in (oldest, other) if age is not None]
        return rest, max(ages, default=None)

    def put(self, drafts: Mapping[int, Draft]) -> None:
        """Put into drafts what came for them as a whole."""
        for at, draft in drafts.items():
            values = self.values[at]
            if values is not None:
                self.layout.place(draft, values, self.source, self.ages[at])

    def answers(self) -> list[Resolved]:
        """The rows, of a view that is all of a row and gave all of them."""
        width = len(self.layout.places)
        once = {age: (age,) * width for age in set(self.ages)}  # rows written together have one age
        ages = [once[age] for age in self.ages]
        values: Iterable[tuple[float, ...]] = self.values  # type: ignore[assignment]  # it is complete
        return list(map(Resolved, values, repeat(self.source * width), ages))

    def _place(self, rows: Mapping[str, StoredRow], source: str) -> float | None:
        """Take the rows that are whole and young enough; the oldest one's age."""
        self.source = source
        values, times, self.complete = self.layout.stock(rows, self._names)
        self.values = values
        self.ages = [
            when - time if when > time else 0.0
            for when, time in zip(self._rows.event_times, times, strict=True)
        ]
        placed = compress(self.ages, values) if not self.complete else self.ages
        oldest = max(placed, default=None)
        ttl = self.layout.ttl if source == REALTIME else None
        if ttl is not None and oldest is not None and oldest > ttl:
            self.complete = False
            self.values = [
                None if age > ttl else row for age, row in zip(self.ages, values, strict=True)
            ]
        return oldest


class Sheet:
    """Rows that all lack the same features.

    Args:
        rows: Values in the signature's order, none of them NaN.
        event_times: Unix seconds, one a row.
        missing: The places of what they lack.
    """

    __slots__ = ("_columns", "_missing", "_rows")

    def __init__(
        self,
        rows: Sequence[Sequence[Scalar]],
        event_times: Sequence[float],
        missing: frozenset[int],
    ) -> None:
        self._rows = Rows(rows, event_times)
        self._missing = missing
        self._columns: list[Column] = []

    def wants(self, layout: Layout, entities: Sequence[Mapping[str, str]]) -> Column | Wants | None:
        """What they want of a view; None if nothing."""
        if self._missing.isdisjoint(layout.places):
            return None
        if not self._missing.issuperset(layout.places):
            rows = self._rows
            return layout.wants({at: rows.draft(at) for at in range(len(rows.rows))}, entities)
        column = Column(self._rows, layout, layout.view.entities_of(entities))
        if not column.entities:
            return None
        self._columns.append(column)
        return column

    def answers(self, finish: Finish) -> list[Resolved]:
        """All rows of the request; ``finish`` gives a draft what no view had."""
        columns, drafts = self._columns, self._rows.drafts
        complete = all(column.complete for column in columns)
        if complete and not drafts and len(columns) == 1 and columns[0].layout.is_row:
            return columns[0].answers()
        rows = range(len(self._rows.rows))
        covered = {at for column in columns for at in column.layout.places}
        for at in rows if self._missing - covered else self._unplaced():
            self._rows.draft(at)
        for column in columns:
            column.put(drafts)
        whole = self._assembler() if len(drafts) < len(rows) else None
        return [
            whole(at)
            if whole is not None and at not in drafts
            else drafts[at].answer or finish(drafts[at], at)
            for at in rows
        ]

    def _unplaced(self) -> Iterator[int]:
        """The rows to which some view gave nothing as a whole."""
        for column in self._columns:
            if not column.complete:
                yield from (at for at, values in enumerate(column.values) if values is None)

    def _assembler(self) -> Callable[[int], Resolved]:
        """What makes a row of that which the request brought and the views gave as a whole."""
        columns, rows = self._columns, self._rows.rows
        width = len(rows[0])
        sizes = [len(column.layout.places) for column in columns]
        held = [
            *range(width),
            *(at for column in columns for at in column.layout.places),
        ]
        # Of two that stand for one place the later wins: the first is what the row lacks.
        order = {index: place for place, index in enumerate(held)}
        pick = itemgetter(*(order[index] for index in range(width)))
        brought = (None,) * width
        sources = REQUEST * width + "".join(
            column.source * size for column, size in zip(columns, sizes, strict=True)
        )
        joined = "".join(pick(sources))

        def assemble(at: int) -> Resolved:
            values = chain(rows[at], *(column.values[at] or () for column in columns))
            ages = chain(
                brought, *(repeat(c.ages[at], size) for c, size in zip(columns, sizes, strict=True))
            )
            return Resolved(
                values=pick(tuple(values)), sources=joined, ages_seconds=pick(tuple(ages))
            )

        return assemble


def sheet_of(rows: Sequence[Sequence[Scalar]], event_times: Sequence[float]) -> Sheet | None:
    """The rows as a sheet, if all lack the same."""
    width = len(rows[0])
    lacking = {row.count(None) for row in rows}
    if lacking == {width}:
        return Sheet(rows, event_times, frozenset(range(width)))
    if lacking == {0} or len(lacking) > 1:
        return None
    columns = list(zip(*rows, strict=True))
    missing = frozenset(at for at, column in enumerate(columns) if column.count(None) == len(rows))
    brought = (column for at, column in enumerate(columns) if at not in missing)
    if {len(missing)} != lacking or any(any(map(ne, column, column)) for column in brought):
        return None
    return Sheet(rows, event_times, missing)
