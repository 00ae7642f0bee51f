"""The sketches of a table's features side by side: two arrays however many features there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np

from trimtab.sketch.categories import bounded
from trimtab.sketch.numbers import landmarks
from trimtab.sketch.records import IntArray, Sketch

_CATEGORIES = 1 << 14


class Cells(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The counts of all features; what each of them has is in :class:`trimtab.sketch.Sketch`.

    ``places`` ascend: a feature's codes counted from its lowest possible one, behind the places of the
    features before it. ``counts`` has the rows of each. ``missing`` and ``overflow`` have shape
    ``(features,)``; ``fresh`` has the features with new categories, by position.
    """

    bits: tuple[int, ...]
    places: IntArray
    counts: IntArray
    missing: IntArray
    overflow: IntArray
    fresh: tuple[tuple[int, dict[str, int]], ...]

    def sketches(self) -> tuple[Sketch, ...]:
        """Each feature's."""
        starts, zeros = _layout(self.bits)
        ends = np.searchsorted(self.places, starts).tolist()
        fresh = dict(self.fresh)
        return tuple(
            Sketch(
                bits=bits,
                codes=self.places[a:b] - zero,
                counts=self.counts[a:b],
                missing=missing,
                fresh=fresh.get(at, {}),
                overflow=overflow,
            )
            for at, (bits, zero, (a, b), missing, overflow) in enumerate(
                zip(
                    self.bits,
                    zeros.tolist(),
                    pairwise(ends),
                    self.missing.tolist(),
                    self.overflow.tolist(),
                    strict=True,
                )
            )
        )


def side_by_side(sketches: Sequence[Sketch]) -> Cells:
    """The sketches of all features of a table."""
    bits = tuple(one.bits for one in sketches)
    _, zeros = _layout(bits)
    places = np.concatenate([one.codes for one in sketches] or [np.empty(0, dtype=np.int64)])
    places += np.repeat(zeros, [len(one.codes) for one in sketches])
    return Cells(
        bits=bits,
        places=places,
        counts=np.concatenate([one.counts for one in sketches] or [np.empty(0, dtype=np.int64)]),
        missing=np.array([one.missing for one in sketches], dtype=np.int64),
        overflow=np.array([one.overflow for one in sketches], dtype=np.int64),
        fresh=tuple((at, one.fresh) for at, one in enumerate(sketches) if one.fresh),
    )


def merge_cells(parts: Sequence[Cells]) -> Cells:
    """The counts of all parts' rows together: exact, in any order and grouping.

    Args:
        parts: At least one, of tables with the same features.
    """
    add = _two if len(parts) == 2 else _many
    places, counts = add(parts)
    fresh, dropped = _unknown(parts)
    return Cells(
        bits=parts[0].bits,
        places=places,
        counts=counts,
        missing=np.sum([part.missing for part in parts], axis=0),
        overflow=np.sum([part.overflow for part in parts], axis=0) + dropped,
        fresh=fresh,
    )


def _two(parts: Sequence[Cells]) -> tuple[IntArray, IntArray]:
    """In time with what is there: two runs that ascend are merged by a stable sort."""
    places = np.concatenate([part.places for part in parts])
    order = np.argsort(places, kind="stable")
    places = places[order]
    first = np.flatnonzero(np.diff(places, prepend=-1))
    if not len(first):
        return places, places
    counts = np.concatenate([part.counts for part in parts])[order]
    return places[first], np.add.reduceat(counts, first)


def _many(parts: Sequence[Cells]) -> tuple[IntArray, IntArray]:
    """In time with all places that there could be, and the least for each count."""
    starts, _ = _layout(parts[0].bits)
    sums = np.zeros(int(starts[-1]), dtype=np.int64)
    for part in parts:
        np.add.at(sums, part.places, part.counts)
    # A comparison first: it is many times as fast as to look for numbers.
    places = np.flatnonzero(sums != 0)
    return places, sums[places]


def _unknown(parts: Sequence[Cells]) -> tuple[tuple[tuple[int, dict[str, int]], ...], IntArray]:
    """By feature: categories that are not known; and the rows of those that are not kept."""
    counted: dict[int, Counter[str]] = {}
    for part in parts:
        for at, fresh in part.fresh:
            counted.setdefault(at, Counter()).update(fresh)
    dropped = np.zeros(len(parts[0].bits), dtype=np.int64)
    found = []
    for at in sorted(counted):
        kept, dropped[at] = bounded(counted[at])
        found.append((at, kept))
    return tuple(found), dropped


def _layout(bits: Sequence[int]) -> tuple[IntArray, IntArray]:
    """Where each feature's places begin, and where the last end; and the place of its code 0."""
    lowest = np.array([-landmarks(one)[1] if one else 0 for one in bits], dtype=np.int64)
    widths = np.where(lowest < 0, 1 - 2 * lowest, _CATEGORIES)
    starts = np.concatenate(([0], np.cumsum(widths)))
    return starts, starts[:-1] - lowest
