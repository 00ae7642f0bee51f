"""How many of the reference's rows repeat another one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from trimtab.drift.dispersion import Blocks
from trimtab.sketch import Binning, Coded, RepeatedRows, repeated, sketch_rows
from trimtab.types import Array


def repeated_in(
    binnings: Sequence[Binning], arrays: Sequence[Array | Coded], blocks: Blocks
) -> RepeatedRows | None:
    """How many rows repeat another: in all of the reference, or within its time blocks."""
    if not blocks.rows:
        whole = sketch_rows(binnings, arrays)
        return None if whole is None else repeated(whole)
    parts = [sketch_rows(binnings, [array[rows] for array in arrays]) for rows in blocks.rows]
    shares = [repeated(part).share for part in parts if part is not None]
    spread = float(np.std(shares, ddof=1)) * math.sqrt(1 + 1 / len(shares))
    return RepeatedRows(
        rows=int(np.median([len(rows) for rows in blocks.rows])),
        share=float(np.mean(shares)),
        se=spread,
        blocks=len(shares),
    )
