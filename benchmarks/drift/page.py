"""Tables, printed or put between their marks in a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def show(
    name: str, head: Sequence[str], lines: Iterable[Sequence[str]], page: str | None = None
) -> None:
    """Print a table, or write it between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``."""
    top, *rows = ["| " + " | ".join(row) + " |" for row in (head, *lines)]
    table = "\n".join([top, f"|{'---|' * len(head)}", *rows])
    if page is None:
        print(f"{table}\n", flush=True)
        return
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = Path(page).read_text(encoding="utf-8")
    before, rest = text.split(begin, 1)
    after = rest.split(end, 1)[1]
    Path(page).write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")
