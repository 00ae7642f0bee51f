"""Facts of predictions into SQLite, many rows a statement: most of what a row costs is what each statement does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection

from trimtab.recordtable import Facts
from trimtab.store.tables import Json, predictions

ROWS = 512
"""Rows of a statement: with all of their values below SQLite's 32,766 variables."""

_VARYING = ("prediction_id", "unit", "event_time", "score", "positive")


def insert_new(connection: Connection, facts: Facts) -> int:
    """Insert the facts of predictions that are not there; how many that were.

    Args:
        connection: To SQLite, in a transaction.
        facts: Of at least one prediction, each once.
    """
    columns = {name: _written(connection, name, cells) for name, cells in facts.columns.items()}
    shared = tuple(
        name
        for name, cells in columns.items()
        if name not in _VARYING and cells.count(cells[0]) == len(cells)
    )
    own = tuple(name for name in columns if name not in shared)
    once = [columns[name][0] for name in shared]
    rows = list(zip(*(columns[name] for name in own), strict=True))
    done = 0
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        values = (*once, *chain.from_iterable(some))
        done += connection.exec_driver_sql(_statement(shared, own, len(some)), values).rowcount
    return done


def _written(connection: Connection, name: str, cells: Sequence[Any]) -> Sequence[Any]:
    """A column as the driver takes it."""
    kind = predictions.c[name].type
    if not isinstance(kind, Json) or cells.count(None) == len(cells):
        return cells
    return [kind.process_bind_param(cell, connection.dialect) for cell in cells]


@lru_cache(maxsize=64)
def _statement(shared: tuple[str, ...], own: tuple[str, ...], rows: int) -> str:
    """Inserts rows that have some values in common, which are given first and once."""
    names = ", ".join(shared + own)
    once = ", ".join(f"? AS c{at}" for at in range(len(shared)))
    taken = [f"c{at}" for at in range(len(shared))] + [f"column{at + 1}" for at in range(len(own))]
    row = f"({', '.join('?' * len(own))})"
    return (
        f"INSERT INTO predictions ({names}) SELECT {', '.join(taken)} "  # noqa: S608 - names of ours
        f"FROM (SELECT {once or 'NULL'}), (VALUES {', '.join([row] * rows)}) "
        "WHERE true ON CONFLICT (model, prediction_id) DO NOTHING"
    )
