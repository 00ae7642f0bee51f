"""A feature's binning, and the counts that it gives."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from trimtab.types import Array, FeatureKind, Record

IntArray = npt.NDArray[np.int64]

COARSE_BITS = 14
FINE_BITS = 16


class Binning(Record, frozen=True):
    """How one feature's values become bins; fitted once on the reference.

    ``median`` and ``scale`` (the interquartile range) are in the feature's unit; ``bits`` is 14 or
    16, or 0 for a categorical feature, whose known values are ``categories``.
    """

    kind: FeatureKind
    median: float = 0.0
    scale: float = 1.0
    bits: int = COARSE_BITS
    categories: tuple[str, ...] = ()


class Sketch(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Counts of one feature's values.

    ``codes`` ascend with the value (numeric) or index the known categories; ``counts`` has the rows
    of each. ``fresh`` counts categories that are not known, at most 64 of them: those whose hash is
    smallest, so that the choice does not depend on the order of arrival; the rows of all others are
    in ``overflow``. ``missing`` counts None and NaN.
    """

    bits: int
    codes: IntArray
    counts: IntArray
    missing: int = 0
    fresh: dict[str, int] = {}
    overflow: int = 0

    @property
    def present(self) -> int:
        """Rows with a value."""
        return int(self.counts.sum()) + self.unknown

    @property
    def unknown(self) -> int:
        """Rows with a category that is not known."""
        return sum(self.fresh.values()) + self.overflow

    @property
    def rows(self) -> int:
        """All rows, missing values included."""
        return self.present + self.missing


class Coded(Record, frozen=True):
    """A categorical column as dictionary codes, as Arrow and data frames hold it.

    ``codes`` index ``labels`` and are negative for missing, shape ``(rows,)``.
    """

    labels: tuple[str, ...]
    codes: Array

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: Array | slice) -> Coded:
        return Coded(labels=self.labels, codes=self.codes[rows])

    def texts(self) -> Array:
        """The values themselves, None for missing, shape ``(rows,)``."""
        named = np.array([*self.labels, None], dtype=object)
        return named[np.maximum(self.codes, -1)]


class Counted(Record, frozen=True):
    """A categorical column of which only the rows of each value are known, and of ``missing``."""

    labels: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int = 0

    def __len__(self) -> int:
        return sum(self.counts) + self.missing


Column = Array | Coded | Counted
