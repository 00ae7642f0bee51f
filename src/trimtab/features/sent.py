"""Rows as people send them in text: JSON lines, and CSV whose cells are what the view declares them to be."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from trimtab.config import ViewConfig
from trimtab.errors import InvalidRow
from trimtab.types import FeatureKind

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def json_lines(lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
    """Rows of one JSON object a line.

    Raises:
        InvalidRow: a line is none.
    """
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            yield _decode(line)
        except msgspec.MsgspecError as wrong:
            raise InvalidRow(
                f"Line {number + 1} is no JSON object: {wrong}.",
                code="malformed_line",
                path=f"rows[{number}]",
                hint="Send one JSON object a line; the lines before it were written.",
            ) from wrong


def csv_rows(
    lines: Iterable[str], view: ViewConfig, columns: Iterable[str], time_column: str | None = None
) -> Iterator[Mapping[str, Any]]:
    """Rows of CSV with a header; an empty cell is missing, keys are text as they stand.

    Args:
        lines: The file's.
        view: Says of which kind each feature is; a cell that is not of it stays text.
        columns: The names that the header must have.
        time_column: Where event times stand.

    Raises:
        InvalidRow: a column is missing, or a line is not as the header says.
    """
    kinds = {feature.name: FeatureKind(feature.kind) for feature in view.features}
    if time_column is not None:
        kinds[time_column] = FeatureKind.NUMERIC
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
        _check_header(header, columns)
        for cells in filter(None, reader):
            row = _under(header, cells)
            yield {name: _value(cell, kinds.get(name)) for name, cell in row.items()}
    except (csv.Error, UnicodeDecodeError) as wrong:
        number = max(1, reader.line_num)
        raise InvalidRow(
            f"Line {number} cannot be read as CSV: {wrong}.",
            code="malformed_line",
            path=f"line {number}",
            hint="The lines before it were written; mend it and send the file again.",
        ) from wrong


def _check_header(header: list[str], columns: Iterable[str]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise InvalidRow(
            f"There is no column {', '.join(map(repr, missing))}.",
            code="unknown_column",
            path=missing[0],
            hint=f"The columns are {', '.join(header) or 'none'}.",
        )


def _under(header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        message = f"{len(cells)} cells under {len(header)} names"
        raise csv.Error(message)
    return dict(zip(header, cells, strict=True))


def _value(cell: str, kind: FeatureKind | None) -> object:
    """A cell as its kind has it; text if it cannot be, which the view then refuses."""
    if cell == "":
        return None
    if kind is FeatureKind.BOOLEAN:
        return _TRUTH.get(cell.lower(), cell)
    if kind is None or kind is FeatureKind.CATEGORICAL or "_" in cell:
        return cell
    try:
        return int(cell) if kind is FeatureKind.INTEGER else float(cell)
    except ValueError:
        return cell
