"""Categories: the known are counted, the new are counted in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import xxhash

from trimtab.sketch.records import Binning, Coded, Column, Counted, Sketch
from trimtab.types import Array, FeatureKind

FRESH_LIMIT = 64
CATEGORY_LIMIT = 1_000
_LONGEST_NAME = 120
_CHUNK = 32_768


def fit_categories(values: Column) -> Binning:
    """The binning of a reference column of categories, None for missing.

    Known are all categories, or if there are more than 1,000 those more frequent than the 1,001st.
    """
    return Binning(kind=FeatureKind.CATEGORICAL, bits=0, categories=_frequent(values))


def count_categories(binning: Binning, values: Column) -> Sketch:
    """Count categories: known, new, missing."""
    index = {name: code for code, name in enumerate(binning.categories)}
    known = np.zeros(len(index), dtype=np.int64)
    fresh: dict[str, int] = {}
    missing = overflow = 0
    for part in _counted(values):
        for name, count in part.items():
            if name is None:
                missing += count
            elif name in index:
                known[index[name]] += count
            elif count:
                fresh[name] = fresh.get(name, 0) + count
        fresh, dropped = bounded(fresh)
        overflow += dropped
    codes = np.flatnonzero(known)
    return Sketch(
        bits=0, codes=codes, counts=known[codes], missing=missing, fresh=fresh, overflow=overflow
    )


def bounded(fresh: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """The categories of smallest hash, and the rows of the others."""
    if len(fresh) <= FRESH_LIMIT:
        return dict(sorted(fresh.items())), 0
    kept = sorted(fresh, key=lambda name: (_hash(name), name))[:FRESH_LIMIT]
    chosen = {name: fresh[name] for name in sorted(kept)}
    return chosen, sum(fresh.values()) - sum(chosen.values())


def _frequent(values: Column) -> tuple[str, ...]:
    counted: Counter[str | None] = Counter()
    for part in _counted(values):
        counted.update(part)
    counted.pop(None, None)
    # A threshold and not a rank, so that it is clear who would be unknown with one row less.
    most = sorted(counted.values(), reverse=True)
    excluded = most[CATEGORY_LIMIT] if len(most) > CATEGORY_LIMIT else 0
    return tuple(
        sorted(name for name, rows in counted.items() if name is not None and rows > excluded)
    )


def _counted(values: Column) -> Iterator[Mapping[str | None, int]]:
    """Rows by category, chunk by chunk."""
    if isinstance(values, Counted):
        yield {None: values.missing} | dict(
            zip(map(name_of, values.labels), values.counts, strict=True)
        )
        return
    if isinstance(values, Coded):
        rows = np.zeros(len(values.labels) + 1, dtype=np.int64)
        for start in range(0, len(values), _CHUNK):
            part = values.codes[start : start + _CHUNK] + 1
            rows += np.bincount(np.maximum(part, 0, out=part), minlength=len(rows))
        missing, *known = rows.tolist()
        yield {None: missing} | dict(zip(map(name_of, values.labels), known, strict=True))
        return
    for start in range(0, len(values), _CHUNK):
        yield _count(values[start : start + _CHUNK])


def _count(values: Array) -> dict[str | None, int]:
    """Rows by category; None for missing, text for whatever else is no text."""
    found: Counter[str | None] = Counter()
    for value, count in Counter(values.tolist()).items():
        if value is None or value != value:  # noqa: PLR0124 - NaN
            found[None] += count
        else:
            found[name_of(value)] += count
    return found


def name_of(value: object) -> str:
    """A category as text, at most 120 characters long."""
    text = value if isinstance(value, str) else str(value)
    if len(text) <= _LONGEST_NAME:
        return text
    return f"{text[: _LONGEST_NAME - 17]}~{_hash(text):016x}"


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))
